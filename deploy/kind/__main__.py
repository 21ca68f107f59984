"""A real three-node Kubernetes cluster on this machine, and the demo on it.

    python3 deploy/kind up [--name NAME]     create the cluster (default: workshop)
    python3 deploy/kind down [--name NAME]   remove it; caches stay
    python3 deploy/kind images [IMAGE...]    have the demos' images here (default: all of them)
    python3 deploy/kind operator-image       build the operator's image and print its name
    python3 deploy/kind load [--name NAME] [REF...]   put images on the nodes (default: the demo's)
    python3 deploy/kind tool NAME            print the path of kind, kubectl or helm
"""

import argparse
import shutil
import sys

import cache
import cluster
import engine
import images
import operatorimage
import tools
from steps import Failure, console, terminate_commands


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
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


def _load(arguments: argparse.Namespace) -> None:
    with cache.exclusive("load"):
        engine.ensure()
        refs = arguments.ref or [*images.ensure(["busybox"]), operatorimage.ensure()]
        cluster.load(arguments.name, refs)


def _tool(arguments: argparse.Namespace) -> None:
    path = tools.available(arguments.tool)
    if not path:
        with cache.exclusive("tool"):
            path = tools.tool(arguments.tool)
    print(path)


def _parser() -> argparse.ArgumentParser:
    width = min(shutil.get_terminal_size().columns, 100)
    parser = argparse.ArgumentParser(
        prog="deploy/kind",
        description=__doc__,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=width),
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb, act in {"up": _up, "down": _down}.items():
        one = verbs.add_parser(verb)
        one.add_argument("--name", default=cluster.DEMO_CLUSTER)
        one.set_defaults(act=act)
    one = verbs.add_parser("images")
    one.add_argument("image", nargs="*")
    one.set_defaults(act=_images)
    verbs.add_parser("operator-image").set_defaults(act=_operator_image)
    one = verbs.add_parser("load")
    one.add_argument("--name", default=cluster.DEMO_CLUSTER)
    one.add_argument("ref", nargs="*")
    one.set_defaults(act=_load)
    one = verbs.add_parser("tool")
    one.add_argument("tool", choices=sorted(tools.VERSION_COMMANDS))
    one.set_defaults(act=_tool)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
