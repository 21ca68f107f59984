"""Where a target may lead: every spelling of every address that a student could try."""

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from workshopdemo.errors import InvalidSpecError, RefusedAddressError
from workshopdemo.notify import resolver
from workshopdemo.notify.addresses import Address, is_public, is_untouchable
from workshopdemo.notify.guard import Destination, Guard
from workshopdemo.notify.resolver import SystemResolver, UnresolvedError
from workshopdemo.notify.wire import TargetKind

PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
API_SERVER = "10.96.0.1"
NODE = "172.18.0.2"
PUBLIC_NODE = "34.107.221.82"

INBOX = "http://workshop-demo-inbox.workshop-demo.svc:8025"

# What the names of the tests resolve to; one that is not here does not.
NAMES = {
    "example.com": [PUBLIC, PUBLIC_6],
    "xn--bcher-kva.example": [PUBLIC],
    "under_score.example.com": [PUBLIC],
    "hooks.slack.com": ["3.121.74.50", "52.29.238.212"],
    "hooks.slack-gov.com": ["52.61.9.10"],
    "chat.googleapis.com": ["142.250.185.74", "2a00:1450:4001:810::200a"],
    "localhost": ["::1", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "kubernetes.default.svc": [API_SERVER],
    "api.cluster.example.com": [API_SERVER],
    "node.example.com": [NODE],
    "public-node.example.com": [PUBLIC_NODE],
    "alertmanager.monitoring": ["10.96.44.7"],
    "alertmanager.monitoring.svc": ["10.96.44.7"],
    "alertmanager-operated.monitoring": ["10.244.1.5", "10.244.2.9", "fd00:10:244::5"],
    "am.lab.example.com": ["192.168.7.7"],
    "half.example.com": [PUBLIC, "10.0.0.1"],
    "half6.example.com": ["::1", PUBLIC],
    "loopback.example.com": ["127.0.0.1"],
    "wildcard.127.0.0.1.nip.io": ["127.0.0.1"],
    "mapped.example.com": ["::ffff:10.0.0.1"],
    "nat64.example.com": ["64:ff9b::10.0.0.1"],
    "nat64-good.example.com": ["64:ff9b::808:808"],
    "6to4.example.com": ["2002:7f00:1::1"],
    "zone.example.com": ["fe80::1%eth0"],
    "ula.example.com": ["fd12:3456::1"],
    "multicast.example.com": ["224.0.0.251"],
    "azure.example.com": ["168.63.129.16"],
    "hook.workshop.svc": ["10.96.3.3"],
    "evil.monitoring": ["169.254.169.254"],
    "self.monitoring": ["127.0.0.1"],
    "api.monitoring": [API_SERVER],
    "mapped-api.monitoring": [f"::ffff:{API_SERVER}"],
    "node.monitoring": [NODE],
    "half.monitoring": ["10.96.44.7", NODE],
    "nobody.example.com": [],
}

LIST = [
    "alertmanager.monitoring:9093",
    "alertmanager-operated.monitoring:9093",
    "*.monitoring:8080",
    "am.lab.example.com",
    "10.20.0.0/16:9093",
    "10.20.0.0/16:8443",
    "10.30.0.7:80",
    "[fd00:20::1]:9093",
    "fd00:30::/32:9093",
    "64:ff9b::/96:443",
    "0.0.0.0/0:7777",
    "::/0:7777",
]


class Resolver:
    """Knows `NAMES`, and counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        if host not in NAMES:
            raise UnresolvedError("the host's name does not resolve")
        return [ipaddress.ip_address(text) for text in NAMES[host]]


def forbidden() -> Collection[Address]:
    return {ipaddress.ip_address(text) for text in (API_SERVER, NODE, PUBLIC_NODE, "fd00:96::1")}


def guard(
    allowed: Sequence[str] = (), resolve: Resolver | None = None, inbox: str = INBOX
) -> Guard:
    return Guard(
        allowed=allowed, inbox_url=inbox, forbidden=forbidden, resolve=resolve or Resolver()
    )


def admit(
    url: str, kind: TargetKind = "webhook", allowed: Sequence[str] = (), *, reveal: bool = False
) -> Destination:
    return asyncio.run(guard(allowed).admit(url, kind, reveal_host=reveal))


def refusal(
    url: str, kind: TargetKind = "webhook", allowed: Sequence[str] = (), *, reveal: bool = False
) -> str:
    with pytest.raises(RefusedAddressError) as caught:
        admit(url, kind, allowed, reveal=reveal)
    return str(caught.value)


SPELLINGS = [
    # Not a URL that we speak
    "",
    "https",
    "https:",
    "https:/",
    "https://",
    "https:///",
    "https:///etc/passwd",
    "//example.com/",
    "/hook",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/_x",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/x",
    "httpſ://example.com/",
    "https:example.com/",
    "https:\\\\example.com/",
    "https:/example.com/",
    # Ports and plain http
    "http://example.com/",
    "http://example.com:443/",
    "https://example.com:80/",
    "https://example.com:8443/",
    "https://example.com:6443/",
    "https://example.com:0/",
    "https://example.com:00443/",
    "https://example.com:0443/",
    "https://example.com:65536/",
    "https://example.com:65979/",  # 443 after an overflow of 16 bits
    "https://example.com:4294967739/",
    "https://example.com:-1/",
    "https://example.com:+443/",
    "https://example.com:4_43/",
    "https://example.com:4４3/",
    "https://example.com:/",
    "https://example.com:443:443/",
    "https://example.com:abc/",
    "https://example.com: 443/",
    # A host that is not what it seems
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://@example.com/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\.evil.example/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#fragment",
    "https://127.0.0.1?@example.com/",
    "https://example.com%2f@127.0.0.1/",
    "https://%65xample.com/",
    "https://example%2ecom/",
    "https://127.0.0.1%00.example.com/",
    "https://127.0.0.1%2523.example.com/",
    "https://example.com%00/",
    "https://example.com./",
    "https://example.com../",
    "https://.example.com/",
    "https://example..com/",
    "https://./",
    "https://*.example.com/",
    "https://-example.com/",
    "https://example-.com/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 127}example.com/",
    "https://exam ple.com/",
    "https://exam\tple.com/",
    "https://example.com\t/",
    "https://exam\nple.com/",
    "https://example.com/\n",
    "\nhttps://example.com/",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/a b",
    "https://example.com/\r\nHost: internal",
    "https://example.com/\r\n\r\nDELETE / HTTP/1.1",
    "https://example.com/\x00",
    "https://example.com/\x7f",
    "https://example.com/\x1b[2J",
    "https://example.com/ü",
    "https://bücher.example/",
    "https://ⓔⓧⓐⓜⓟⓛⓔ.com/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://example。com/",
    "https://exa\u00admple.com/",
    "https://example.com\u200b/",
    "https://example.com\u2024/",
    "https://loca\u2113host/",
    "https://\u212a8s.example.com/",  # the Kelvin sign, which lower() makes a k
    "https://examp!e.com/",
    "https://$(hostname)/",
    "https://{example}.com/",
    "https://example.com,127.0.0.1/",
    "https://example.com;127.0.0.1/",
    "https://example.com|127.0.0.1/",
    "https://'example.com'/",
    "https://<example.com>/",
    # Paths that lead elsewhere
    "https://example.com/a/../b",
    "https://example.com/..",
    "https://example.com/./b",
    "https://example.com/%2e%2e/b",
    "https://example.com/.%2E/b",
    "https://example.com/a%",
    "https://example.com/a%4",
    "https://example.com/a%zz",
    "https://example.com/<script>",
    'https://example.com/"',
    "https://example.com/a\\b",
    "https://example.com/?q=\\",
    "https://example.com/?q=`id`",
    "https://example.com/" + "a" * 2048,
]

ADDRESSES = [
    # This very machine
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0000.0000.0001/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0X7F.1/",
    "https://0x7f.0.0.1/",
    "https://127.0.0.0x1/",
    "https://127.0.0.01/",
    "https://127.000.000.001/",
    "https://127.0.0.1./",
    "https://127.0.0.1.:443/",
    "https://00000127.0.0.1/",
    "https://6425673729/",  # 127.0.0.1 after an overflow of 32 bits
    "https://127.0.0.257/",
    "https://383.0.0.1/",
    "https://0/",
    "https://0x/",
    "https://0.0.0.0/",
    "https://0.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://[::1]/",
    "https://[::1]:443/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::FFFF:7F00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:7f00:0001]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[64:ff9b:1:7f00:0:100::]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "https://[2001:0:7f00:1:0:0:f7f7:f7f7]/",
    # Metadata of clouds
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/",
    "https://0251.0376.0251.0376/",
    "https://025177524776/",
    "https://169.254.43518/",
    "https://169.16689662/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://169.254.170.2/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://[fd00:ec2::254]/",
    "https://[fd00:ec2::23]/",
    "https://[fd20:ce::254]/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://azure.example.com/",
    # Private, reserved and otherwise not of the internet
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[febf::1]/",
    "https://[fec0::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[ff02::1]/",
    "https://[ff0e::1]/",
    "https://[100::1]/",
    "https://[2001:db8::1]/",
    "https://[2001:2::1]/",
    "https://[2001:10::1]/",
    "https://[2001:20::1]/",
    "https://[3fff::1]/",
    "https://[5f00::1]/",
    "https://[4000::1]/",
    "https://[::8.8.8.8]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[2002:808:808::1]/",
    # No address at all
    "https://[]/",
    "https://[:]/",
    "https://[1]/",
    "https://[::1/",
    "https://::1/",
    "https://::1]/",
    "https://[::1]evil.example/",
    "https://[::1].example.com/",
    "https://[::1]443/",
    "https://[[::1]]/",
    "https://[v1.fe80::1]/",
    "https://[127.0.0.1]/",
    "https://[example.com]/",
    "https://[::1::]/",
    "https://[12345::1]/",
    "https://1.2.3/",
    "https://1.2.3.4.5/",
    "https://1.2.3.256/",
    "https://example.1/",
    "https://example.0x7f/",
    # This very cluster
    f"https://{API_SERVER}/",
    f"https://{NODE}/",
    f"https://{PUBLIC_NODE}/",
    "https://public-node.example.com/",
    "https://kubernetes.default.svc/",
    "https://api.cluster.example.com/",
    "https://node.example.com/",
    "https://alertmanager.monitoring/",
    "https://hook.workshop.svc/",
    # Names that lead where nothing good is
    "https://half.example.com/",
    "https://half6.example.com/",
    "https://loopback.example.com/",
    "https://wildcard.127.0.0.1.nip.io/",
    "https://mapped.example.com/",
    "https://nat64.example.com/",
    "https://nat64-good.example.com/",
    "https://6to4.example.com/",
    "https://zone.example.com/",
    "https://ula.example.com/",
    "https://multicast.example.com/",
]


@pytest.mark.parametrize("url", SPELLINGS + ADDRESSES)
def test_what_is_hostile_is_refused_in_every_spelling(url: str) -> None:
    for kind in ("webhook", "alertmanager", "slack", "googleChat", "inbox"):
        said = refusal(url, kind)
        assert said
        for word in re.findall(r"[^/:?#@\[\]\s]{6,}", url):
            if word not in {"password", "fragment"}:
                assert word not in said


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://example.com", "example.com", "/"),
        ("https://example.com/", "example.com", "/"),
        ("https://example.com:443/", "example.com", "/"),
        ("HTTPS://EXAMPLE.com/Hook", "example.com", "/Hook"),
        ("https://example.com?a=b", "example.com", "/?a=b"),
        ("https://example.com/a?b=c&d=%20/?:@", "example.com", "/a?b=c&d=%20/?:@"),
        ("https://example.com//a//b/", "example.com", "//a//b/"),
        ("https://example.com/a/...", "example.com", "/a/..."),
        ("https://example.com/%2Fa%41%7e", "example.com", "/%2Fa%41%7e"),
        ("https://example.com/@user/a:b;c=1,2!$'()*+~", "example.com", "/@user/a:b;c=1,2!$'()*+~"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", "/"),
        ("https://under_score.example.com/", "under_score.example.com", "/"),
        (f"https://{PUBLIC}/x", PUBLIC, "/x"),
        (f"https://[{PUBLIC_6}]/x", PUBLIC_6, "/x"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "2606:4700:4700::1111", "/"),
        ("https://9.9.9.9/", "9.9.9.9", "/"),
        ("https://example.com/" + "a" * 2028, "example.com", "/" + "a" * 2028),
    ],
)
def test_what_is_public_is_let_through_as_it_stands(url: str, host: str, path: str) -> None:
    found = admit(url)
    assert (found.scheme, found.host, found.port, found.path) == ("https", host, 443, path)
    expected = NAMES.get(host, [host])
    assert [str(address) for address in found.addresses] == expected
    assert found.host_header == (f"[{host}]" if ":" in host else host)
    # What other parsers read in it is the same place.
    assert urlsplit(url).hostname in {host, "2606:4700:4700:0:0:0:0:1111"}
    assert URL(url).raw_host == host
    connected = URL(f"https://{PUBLIC}:443{found.path}", encoded=True)
    assert connected.raw_path_qs == path


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("slack", "https://hooks.slack.com/services/T0/B0/x-_Y"),
        ("slack", "https://HOOKS.slack.com:443/services/T0/B0/xY"),
        ("slack", "https://hooks.slack.com/workflows/T0/A0/1/xY"),
        ("slack", "https://hooks.slack.com/triggers/E0/1/xY"),
        ("slack", "https://hooks.slack-gov.com/services/T0/B0/xY"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=k&token=t%3D"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/AA-_A/messages?key=k&requestId=1"),
    ],
)
def test_a_chat_is_where_it_is(kind: TargetKind, url: str) -> None:
    assert admit(url, kind).path in url


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("slack", "https://example.com/services/T0/B0/xY"),
        ("slack", "https://hooks.slack.com.example.com/services/T0/B0/xY"),
        ("slack", "https://example.com/hooks.slack.com/services/T0/B0/xY"),
        ("slack", "https://slack.com/services/T0/B0/xY"),
        ("slack", "https://hooks-slack.com/services/T0/B0/xY"),
        ("slack", "https://files.hooks.slack.com/services/T0/B0/xY"),
        ("slack", "http://hooks.slack.com/services/T0/B0/xY"),
        ("slack", "https://hooks.slack.com:8443/services/T0/B0/xY"),
        ("slack", "https://hooks.slack.com/"),
        ("slack", "https://hooks.slack.com/services"),
        ("slack", "https://hooks.slack.com/services/"),
        ("slack", "https://hooks.slack.com//services/T0/B0/xY"),
        ("slack", "https://hooks.slack.com/servicesT0/B0/xY"),
        ("slack", "https://hooks.slack.com/api/services/T0"),
        ("slack", "https://hooks.slack.com/services/..%2f..%2fapi"),
        ("slack", "https://hooks.slack.com/services/%2e%2e/api"),
        ("slack", "https://hooks.slack.com/Services/T0/B0/xY"),
        ("slack", "https://chat.googleapis.com/v1/spaces/AAAA/messages"),
        ("googleChat", "https://hooks.slack.com/services/T0/B0/xY"),
        ("googleChat", "https://www.googleapis.com/v1/spaces/AAAA/messages"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/AAAA"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/AAAA/members"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/AAAA/messages/1"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces//messages"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/a%2Fb/messages"),
        ("googleChat", "https://chat.googleapis.com/v1/spaces/a/b/messages"),
    ],
)
def test_a_chat_is_nowhere_else(kind: TargetKind, url: str) -> None:
    resolve = Resolver()
    with pytest.raises(RefusedAddressError):
        asyncio.run(guard(resolve=resolve).admit(url, kind))
    assert resolve.asked == []


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("alertmanager", "http://alertmanager.monitoring:9093"),
        ("alertmanager", "https://alertmanager.monitoring:9093/prefix"),
        ("alertmanager", "http://ALERTMANAGER.monitoring:9093"),
        ("alertmanager", "http://alertmanager-operated.monitoring:9093"),
        ("webhook", "https://am.lab.example.com/"),
        ("webhook", "http://hook.monitoring:8080/a?b"),
        ("webhook", "http://a.b.monitoring:8080/"),
        ("webhook", "http://10.20.255.1:9093/"),
        ("webhook", "https://10.20.0.0:8443/"),
        ("webhook", "http://10.30.0.7:80/"),
        ("webhook", "http://10.30.0.7/"),
        ("webhook", "http://[fd00:20::1]:9093/"),
        ("webhook", "http://[fd00:30:1::9]:9093/"),
        ("webhook", "https://[64:ff9b::8.8.8.8]/"),
        ("webhook", "https://nat64-good.example.com/"),
        ("webhook", "http://alertmanager.monitoring:7777/"),
        # Another place for a chat: a mock, or a relay
        ("slack", "http://hook.monitoring:8080/any/path"),
        ("slack", "http://10.30.0.7/any"),
        ("googleChat", "https://am.lab.example.com/"),
    ],
)
def test_what_the_administrator_listed_is_let_through(
    kind: TargetKind, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, "hook.monitoring", ["10.96.3.4"])
    monkeypatch.setitem(NAMES, "a.b.monitoring", ["10.96.3.5"])
    assert admit(url, kind, LIST).addresses


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        # Beside the list
        ("alertmanager", "http://alertmanager.monitoring:9094"),
        ("alertmanager", "http://alertmanager.monitoring"),
        ("alertmanager", "https://alertmanager.monitoring"),
        ("alertmanager", "http://alertmanager.monitoring.svc:9093"),
        ("webhook", "http://am.lab.example.com/"),
        ("webhook", "http://am.lab.example.com:443/"),
        ("webhook", "https://am.lab.example.com:8443/"),
        ("webhook", "http://monitoring:8080/"),
        ("webhook", "http://evilmonitoring:8080/"),
        ("webhook", "http://evil-monitoring:8080/"),
        ("webhook", "http://10.21.0.1:9093/"),
        ("webhook", "http://10.20.0.1:9094/"),
        ("webhook", "http://10.30.0.8/"),
        ("webhook", "http://example.com:9093/"),
        ("webhook", "http://[fd00:20::2]:9093/"),
        ("webhook", "http://[::ffff:10.20.0.1]:9093/"),
        ("webhook", "https://nat64.example.com/"),
        ("webhook", "https://[64:ff9b::10.20.0.1]/"),
        # A name that leads into a listed network is no other place for a chat
        ("slack", "https://nat64-good.example.com/services/T0/B0/xY"),
        # Never, whatever is listed
        ("webhook", "http://evil.monitoring:8080/"),
        ("webhook", "http://self.monitoring:8080/"),
        ("webhook", "http://api.monitoring:8080/"),
        ("webhook", "http://mapped-api.monitoring:8080/"),
        ("webhook", "http://node.monitoring:8080/"),
        ("webhook", "http://half.monitoring:8080/"),
        *(
            ("webhook", f"http://{host}:7777/")
            for host in (
                "127.0.0.1",
                "0.0.0.0",
                "169.254.169.254",
                "169.254.170.2",
                "224.0.0.1",
                "255.255.255.255",
                "100.100.100.200",
                "168.63.129.16",
                API_SERVER,
                NODE,
                PUBLIC_NODE,
                "localhost",
                "metadata.google.internal",
                "api.cluster.example.com",
                "node.example.com",
                "half6.example.com",
                "zone.example.com",
                "6to4.example.com",
                "[::]",
                "[::1]",
                "[fe80::1]",
                "[ff02::1]",
                "[fd00:ec2::254]",
                "[fd20:ce::254]",
                "[fd00:96::1]",
                "[::127.0.0.1]",
                "[::ffff:127.0.0.1]",
                "[::ffff:0:127.0.0.1]",
                f"[::ffff:{API_SERVER}]",
                f"[64:ff9b::{NODE}]",
                "[64:ff9b::169.254.169.254]",
                "[64:ff9b:1::8.8.8.8]",
                "[2002:7f00:1::1]",
                "[2002:a9fe:a9fe::1]",
                "[2001:0:7f00:1:0:0:f7f7:f7f7]",
                "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
                "2130706433",
                "0x7f.1",
                "127.1",
            )
        ),
    ],
)
def test_a_list_opens_what_it_says_and_no_more(kind: TargetKind, url: str) -> None:
    with pytest.raises(RefusedAddressError):
        admit(url, kind, LIST)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "*",
        "*:443",
        "*.",
        "*.*.example.com",
        "a.*.example.com",
        "*.10.0.0.1",
        "*.[fd00::1]",
        "http://alertmanager:9093",
        "alertmanager:9093/",
        "alertmanager:",
        "alertmanager:0",
        "alertmanager:65536",
        "alertmanager:http",
        "alertmanager: 9093",
        " alertmanager:9093",
        "alertmanager:9093\n",
        "alertmanager.:9093",
        "user@alertmanager:9093",
        "alert manager",
        "bücher.example",
        "\u212a8s.example",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0/8",
        "010.0.0.0/8",
        "167772160/8",
        "10.1",
        "0x0a000001",
        "fd00::1",
        "fd00::1:9093",
        "[fd00::1",
        "[fd00::/8]:9093",
        "fd00::1/8",
        "fd00::/129",
        "fd00::/8:",
        "fd00::/8:0",
        "[fe80::1%eth0]:80",
        # What would never be let through
        "127.0.0.1:8080",
        "[::1]:8080",
        "169.254.169.254:80",
        "169.254.0.0/16",
        "224.0.0.0/8",
        "fe80::/64",
    ],
)
def test_an_entry_of_the_list_that_means_nothing_is_told(entry: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        guard(["alertmanager.monitoring:9093", entry])
    assert caught.value.field == "notifications.allowedHosts[1]"
    assert repr(entry) in caught.value.problem


@pytest.mark.parametrize("url", ["inbox:8025", "http://", "http://user@inbox:8025", "http://a b"])
def test_an_inbox_that_means_nothing_is_told(url: str) -> None:
    with pytest.raises(InvalidSpecError, match="inbox"):
        guard(inbox=url)


async def test_the_inbox_is_the_administrators_wherever_it_is() -> None:
    local = guard(inbox="http://localhost:8025")
    found = await local.admit("http://localhost:8025/slack/a?b=c", "inbox")
    assert [str(address) for address in found.addresses] == NAMES["localhost"]
    assert (found.scheme, found.host_header) == ("http", "localhost:8025")
    assert found.path == "/slack/a?b=c"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://example.com:8025/",
        "https://workshop-demo-inbox.workshop-demo.svc:8025/",
        "http://workshop-demo-inbox.workshop-demo.svc:8026/",
        "http://workshop-demo-inbox.workshop-demo.svc/",
        "http://workshop-demo-inbox.workshop-demo.svc.evil.example:8025/",
    ],
)
def test_a_target_of_the_inbox_leads_nowhere_else(url: str) -> None:
    assert "inbox" in refusal(url, "inbox")


async def test_a_burst_asks_once_where_the_inbox_is_and_later_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(NAMES, "workshop-demo-inbox.workshop-demo.svc", ["10.96.8.8"])
    now, asked = 0.0, []
    known = Resolver()

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        await asyncio.sleep(0)
        return await known(host, port)

    aware = Guard(
        allowed=(), inbox_url=INBOX, forbidden=forbidden, resolve=resolve, clock=lambda: now
    )
    found = await asyncio.gather(*(aware.admit(f"{INBOX}/{number}", "inbox") for number in "123"))
    assert [one.path for one in found] == ["/1", "/2", "/3"]
    assert len(asked) == 1
    monkeypatch.setitem(NAMES, "workshop-demo-inbox.workshop-demo.svc", ["10.96.9.9"])
    now = 5.0
    assert str((await aware.admit(INBOX, "inbox")).addresses[0]) == "10.96.9.9"
    assert len(asked) == 2


async def test_an_inbox_without_an_address_is_asked_for_again_at_once() -> None:
    aware = guard()
    for _ in range(2):
        with pytest.raises(UnresolvedError):
            await aware.admit(INBOX, "inbox")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAMES, "workshop-demo-inbox.workshop-demo.svc", ["10.96.8.8"])
        assert (await aware.admit(INBOX, "inbox")).addresses


def test_without_an_inbox_there_is_none() -> None:
    with pytest.raises(RefusedAddressError, match="inbox"):
        asyncio.run(guard(inbox="").admit(INBOX, "inbox"))


@pytest.mark.parametrize("kind", ["webhook", "alertmanager", "slack", "googleChat"])
def test_to_others_the_inbox_is_a_url_as_any_other(
    kind: TargetKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, "workshop-demo-inbox.workshop-demo.svc", ["10.96.8.8"])
    refusal(f"{INBOX}/x", kind)


class TestSentences:
    """What a student reads: what is wrong, the way out, and nothing that they must not know."""

    def test_a_private_address_names_the_way_out(self) -> None:
        assert refusal("https://10.0.0.1/token") == (
            "the URL's host is not public: use one that is, or the administrator can allow it in"
            " the chart's value notifications.allowedHosts"
        )

    def test_a_host_of_the_spec_is_named(self) -> None:
        said = refusal("http://alertmanager.monitoring:9093/token", reveal=True)
        assert said == (
            "the host alertmanager.monitoring may be reached by https on port 443 only: use that,"
            " or the administrator can allow it in the chart's value notifications.allowedHosts"
        )

    def test_what_is_refused_for_ever_names_no_way_out(self) -> None:
        said = refusal("http://127.0.0.1:7777/", allowed=LIST, reveal=True)
        assert said.startswith("the host 127.0.0.1 leads to a machine itself")
        assert "the administrator can" not in said

    @pytest.mark.parametrize(
        "host",
        [
            "alertmanager.monitoring",
            "kubernetes.default.svc",
            "localhost",
            "metadata.google.internal",
            "node.example.com",
            "half.example.com",
            "mapped.example.com",
        ],
    )
    @pytest.mark.parametrize("reveal", [False, True])
    def test_where_a_name_leads_inside_is_not_told(self, host: str, *, reveal: bool) -> None:
        said = refusal(f"https://{host}/", reveal=reveal)
        other = refusal("https://ula.example.com/", reveal=reveal)
        assert said.replace(host, "ula.example.com") == other

    @pytest.mark.parametrize("reveal", [False, True])
    def test_a_listed_network_tells_no_more_of_it(self, *, reveal: bool) -> None:
        refusals = {
            refusal(f"http://{host}:9093/", allowed=LIST, reveal=reveal).replace(host, "")
            for host in (
                "am.lab.example.com",
                "ula.example.com",
                "example.com",
                "metadata.google.internal",
                "api.cluster.example.com",
                "localhost",
            )
        }
        (said,) = refusals
        assert "by https on port 443 only" in said

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("", "https://"),
            ("https://" + "a" * 2048, "more than 2048 characters"),
            ("https://bücher.example/", "xn--"),
            ("https://example.com/\n", "line break"),
            ("https://example.com/a b", "space"),
            ("https://example.com\\@127.0.0.1/", "backslash"),
            ("https://example.com/#a", "fragment"),
            ("https://a:b@example.com/", "basicAuth"),
            ("https://[::1/", "neither a name nor an address"),
            ("https://[1]/", "no IPv6 address"),
            ("https:///a", "no host"),
            ("https://example.com./", "ends in a dot"),
            ("https://127.1/", "four decimal numbers"),
            ("https://a$b/", "no host name"),
            ("https://example.com:0/", "from 1 to 65535"),
            ("https://example.com/{a}", "percent-encoded"),
            ("https://example.com/a/../b", "segment . or .."),
        ],
    )
    def test_what_is_wrong_with_a_url_is_said(self, url: str, words: str) -> None:
        assert words in refusal(url)


async def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    for name in ("unknown.example.com", "nobody.example.com"):
        with pytest.raises(UnresolvedError) as caught:
            await guard().admit(f"https://{name}/token", "webhook")
        assert name not in str(caught.value)


async def test_a_name_is_resolved_once_and_its_answer_is_the_destination() -> None:
    answers = iter([["93.184.215.14"], ["10.0.0.1"]])
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[Address]:
        asked.append((host, port))
        return [ipaddress.ip_address(text) for text in next(answers)]

    fickle = Guard(allowed=(), inbox_url="", forbidden=tuple, resolve=rebinding)
    found = await fickle.admit("https://rebinding.example.com/", "webhook")
    assert list(map(str, found.addresses)) == ["93.184.215.14"]
    assert asked == [("rebinding.example.com", 443)]
    with pytest.raises(RefusedAddressError):
        await fickle.admit("https://rebinding.example.com/", "webhook")


async def test_the_clusters_own_addresses_are_asked_for_every_time() -> None:
    own: set[Address] = set()
    resolve = Resolver()
    aware = Guard(allowed=(), inbox_url="", forbidden=lambda: own, resolve=resolve)
    await aware.admit("https://example.com/", "webhook")
    own.add(ipaddress.ip_address(PUBLIC_6))
    with pytest.raises(RefusedAddressError):
        await aware.admit("https://example.com/", "webhook")


async def test_an_address_is_connected_to_without_its_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(NAMES, "zoned.example.com", [f"{PUBLIC_6}%eth0"])
    found = await guard().admit("https://zoned.example.com/", "webhook")
    assert list(map(str, found.addresses)) == [PUBLIC_6]


def test_a_listed_network_makes_no_chat_speak_plain_http() -> None:
    refusal("http://hooks.slack.com/services/T0/B0/xY", "slack", ["0.0.0.0/0:80"])


async def test_an_address_needs_no_resolver() -> None:
    resolve = Resolver()
    await guard(resolve=resolve).admit(f"https://{PUBLIC}/", "webhook")
    assert resolve.asked == []


def test_nothing_shows_the_path() -> None:
    assert "token" not in repr(admit("https://example.com/token?token=1"))


# An independent opinion of addresses: every network that IANA's registries call not globally
# reachable, or a way to another address; by bits instead of by `ipaddress`.
_NOT_GLOBAL_4 = (
    "0/8 10/8 100.64/10 127/8 169.254/16 172.16/12 192.0.0/24 192.0.2/24 192.88.99/24 192.168/16"
    " 198.18/15 198.51.100/24 203.0.113/24 224/4 240/4 168.63.129.16/32"
)


def independently_public(address: Address) -> bool:
    if address.version == 4:
        bits = f"{int(address):032b}"
        for network in _NOT_GLOBAL_4.split():
            base, length = network.split("/")
            octets = [*map(int, base.split(".")), 0, 0, 0][:4]
            if bits.startswith("".join(f"{octet:08b}" for octet in octets)[: int(length)]):
                return False
        return True
    words = address.exploded.split(":")
    return (
        words[0][0] in "23"
        and not (words[0] == "2001" and int(words[1], 16) < 0x200)
        and words[:2] != ["2001", "0db8"]
        and words[0] != "2002"
        and not (words[0] == "3fff" and words[1][0] == "0")
    )


addresses = st.one_of(
    st.sampled_from([PUBLIC, PUBLIC_6, "1.1.1.1", "2a00:1450::1"]).map(ipaddress.ip_address),
    st.ip_addresses(),
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.sampled_from([a for found in NAMES.values() for a in found]).map(ipaddress.ip_address),
    st.builds(
        lambda prefix, low: ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | low),
        st.sampled_from(["::", "::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "2002::", "2001::"]),
        st.integers(0, 2**32 - 1),
    ),
)

hosts = st.one_of(
    st.sampled_from([*NAMES, "127.1", "0x7f.1", "[::1]", "2130706433"]),
    addresses.map(lambda a: f"[{a}]" if a.version == 6 else str(a)),
    st.from_regex(r"\A[a-z0-9-]{1,8}(\.[a-z0-9-]{1,8}){1,3}\Z"),
    st.text(max_size=12),
)


def mostly(good: str, *odd: str) -> st.SearchStrategy[str]:
    """Good enough often enough that a URL is sometimes odd in one place only."""
    return st.sampled_from([*[good] * 2 * len(odd), *odd])


urls = st.one_of(
    st.text(),
    st.from_regex(r"\Ahttps://[0-9a-fx.:\[\]%]{1,24}/\Z"),
    st.builds(
        "{}{}{}{}{}".format,
        mostly("https://", "HTTPS://", "http://", "https:/", "https:\\\\", "ftp://"),
        mostly("", "user@", "a:b@", "example.com@", "\\"),
        hosts,
        mostly("", ":443", ":80", ":9093", ":7777", ":0", ":", ".", "%00", "\t"),
        mostly("/a?b=c", "", "/", "/a", "?a", "#a", "\\a", "/../a", " "),
    ),
)


@given(url=urls, found=st.lists(addresses, max_size=3))
def test_whatever_is_written_is_refused_or_leads_to_the_public(
    url: str, found: list[Address]
) -> None:
    async def resolve(host: str, _: int) -> Sequence[Address]:
        assert re.fullmatch(r"[a-z0-9._-]{1,253}", host)
        return found

    wary = Guard(allowed=(), inbox_url="", forbidden=forbidden, resolve=resolve)
    try:
        destination = asyncio.run(wary.admit(url, "webhook"))
    except (RefusedAddressError, UnresolvedError):
        return
    assert (destination.scheme, destination.port) == ("https", 443)
    assert all(map(independently_public, destination.addresses))
    assert not set(destination.addresses) & set(forbidden())
    assert destination.addresses
    # Parsers that others use see the same host: none is led astray where this one is not.
    assert urlsplit(url).hostname is not None
    assert URL(url).raw_host == destination.host
    assert (urlsplit(url).port or 443) == (URL(url).port or 443) == 443
    assert urlsplit(url).username is None
    # It cannot end the request line, and is sent as it is.
    assert re.fullmatch(r"/[!-~]*", destination.path)
    sent = URL(f"https://{PUBLIC}:443{destination.path}", encoded=True).raw_path_qs
    assert sent == destination.path


@given(url=urls, found=st.lists(addresses, min_size=1, max_size=3))
def test_no_list_opens_what_is_never_to_be_reached(url: str, found: list[Address]) -> None:
    async def resolve(_: str, __: int) -> Sequence[Address]:
        return found

    everything = [f"{net}:{port}" for net in ("0.0.0.0/0", "::/0") for port in (80, 443, 7777)]
    open_wide = Guard(allowed=everything, inbox_url="", forbidden=forbidden, resolve=resolve)
    try:
        destination = asyncio.run(open_wide.admit(url, "webhook"))
    except (RefusedAddressError, UnresolvedError):
        return
    for address in destination.addresses:
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast
        assert not address.is_unspecified
        assert address not in forbidden()
        low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if str(address).startswith(("::", "64:ff9b:")):
            assert not low.is_loopback
            assert not low.is_link_local
            assert low not in forbidden()


@given(address=addresses)
def test_what_is_public_and_what_is_never_reached_exclude_each_other(address: Address) -> None:
    assert not (is_public(address) and is_untouchable(address))
    if is_public(address):
        assert address.is_global
        assert independently_public(address)


class TestSystemResolver:
    """The real one, as far as a machine without a network can show it."""

    @pytest.fixture
    def system(self) -> Iterator[SystemResolver]:
        found = SystemResolver(threads=2)
        yield found
        found.close()

    async def test_addresses_come_once_each(
        self, system: SystemResolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            assert (host, port) == ("a.example.com", 443)
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%2", 443, 0, 2)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443)),
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        found = await system("a.example.com", 443)
        assert found == (ipaddress.ip_address("fe80::1"), ipaddress.ip_address("10.0.0.1"))

    async def test_no_name_no_address(
        self, system: SystemResolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(UnresolvedError, match="does not resolve"):
            await system("nobody.example.com", 443)

    async def test_names_that_hang_hold_up_neither_the_loop_nor_its_threads(
        self, system: SystemResolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        let_go = threading.Event()

        def getaddrinfo(*_: object, **__: object) -> list[object]:
            let_go.wait(30)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(resolver, "RESOLVE_SECONDS", 0.05)
        try:
            outcomes = await asyncio.gather(
                *(system("hangs.example.com", 443) for _ in range(50)), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} == {UnresolvedError}
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(lambda: "free") == "free"
        finally:
            let_go.set()
