"""One module a dialect: message → request, answer → verdict. Pure."""
