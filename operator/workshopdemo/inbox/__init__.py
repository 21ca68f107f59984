"""The receiver: speaks the dialects of Slack, Google Chat, Alertmanager and webhooks."""
