"""A real three-node Kubernetes cluster on this machine, and the demo on it."""

import argparse
import signal
import sys

import cache
import cluster
import demo
import engine
import images
import mirror
import operatorimage
import tools
from steps import Failure, console, terminate_commands


def main(argv: list[str]) -> int:
    """Run one verb; what goes wrong is one sentence and an exit code."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.act(arguments)
    except Failure as failure:
        console.say(f"✗ {failure}")
        return 1
    except KeyboardInterrupt:
        terminate_commands()
        console.say("✗ Interrupted: nothing half done is kept, run it again to go on.")
        return 130
    return 0


def _up(arguments: argparse.Namespace) -> None:
    with cache.exclusive("up"):
        access = cluster.up(arguments.name)
    console.say(f"Cluster {arguments.name} is up: context {access.context}")
    if access.kubeconfig:
        print(access.kubeconfig)


def _down(arguments: argparse.Namespace) -> None:
    with cache.exclusive("down"):
        cluster.down(arguments.name)


def _demo(_: argparse.Namespace) -> None:
    demo.show()


def _images(arguments: argparse.Namespace) -> None:
    with cache.exclusive("images"):
        engine.ensure()
        refs = images.ensure(arguments.image or images.DEMO_IMAGES)
    print(*refs, sep="\n")


def _operator_image(_: argparse.Namespace) -> None:
    with cache.exclusive("operator-image"):
        engine.ensure()
        ref = operatorimage.ensure()
    print(ref)


def _push(arguments: argparse.Namespace) -> None:
    prefix = mirror.prefix(arguments.registry)
    with cache.exclusive("push"):
        engine.ensure()
        operator = mirror.push(prefix)
    print(*mirror.next_steps(prefix, operator), sep="\n")


def _load(arguments: argparse.Namespace) -> None:
    with cache.exclusive("load"):
        engine.ensure()
        cluster.require(arguments.name)
        refs = arguments.ref or [*images.ensure(images.DEMO_IMAGES), operatorimage.ensure()]
        cluster.load(arguments.name, refs)


def _tool(arguments: argparse.Namespace) -> None:
    path = tools.available(arguments.tool)
    if not path:
        with cache.exclusive("tool"):
            path = tools.tool(arguments.tool)
    print(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 deploy/kind", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: object, text: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=text, description=text)
        one.set_defaults(act=act)
        return one

    def named(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
        one.add_argument("--name", default=cluster.DEMO_CLUSTER, help="default: %(default)s")
        return one

    named(verb("up", _up, "Have the cluster running, with all it needs."))
    named(verb("down", _down, "Remove the cluster; caches stay."))
    verb("demo", _demo, "Install the operator and the bookshop; CONTEXT= names another cluster.")
    one = verb("images", _images, "Have images in the engine, and print their names.")
    known = ", ".join(images.RECIPES)
    one.add_argument("image", nargs="*", help=f"of {known}; default: what demos run")
    verb("operator-image", _operator_image, "Build the operator's image and print its name.")
    one = verb("push", _push, "Push every image of the demos and the operator's to a registry.")
    one.add_argument("registry", nargs="?", default="", help="host:port/path, without https://")
    one = named(verb("load", _load, "Put images on the cluster's nodes."))
    one.add_argument("ref", nargs="*", help="default: what lessons run, and the operator's image")
    one = verb("tool", _tool, "Print the path of a program, built if none that fits is installed.")
    one.add_argument("tool", choices=sorted(tools.VERSION_COMMANDS))
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
