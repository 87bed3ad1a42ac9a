"""The operator port's pages as a browser reads them."""

from html.parser import HTMLParser

from server_stub.operator import pages

FIGURES = {
    "task_id": "malware-pe",
    "mode": "local",
    "devices": 3,
    "devices_revoked": 1,
    "rounds_done": 2,
    "rounds_abandoned": 1,
    "rounds_rejected": 1,
    "updates": 5,
    "update_bytes": 1_500_000,
    "model_version": 4,
    "round": {"updates": 2},
}
ROUND = {
    "round_id": 7,
    "state": "open",
    "updates": 2,
    "target": 10,
    "base_version": 4,
    "model_version": None,
    "epsilon_ledger": 0.1,
    "opens_at": 1_790_000_000,
    "closed_at": None,
    "closes_at": 1_790_086_400,
    "note": "<script>alert(1)</script>",
}
MODEL = {
    "version": 4,
    "published_at": 1_790_000_000,
    "origin": "<b>round 6",
    "demonstration": True,
    "sha256": "ab" * 32,
}

EXCLUSION = {
    "device_id": "urn:uuid:1",
    "code": "SECRET_FALSE",
    "round_id": 6,
    "until_round": 8,
    "until": 1_790_086_400,
}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without having been opened; collects names and text."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_dashboard_is_whole_loads_nothing_and_believes_no_text():
    parsed = read(
        pages.dashboard(pages.Dashboard(FIGURES, [ROUND], [MODEL], [EXCLUSION], 1_790_000_100))
    )
    assert "script" not in {tag for tag, _ in parsed.seen}
    assert not [
        attrs
        for _, attrs in parsed.seen
        if "src" in attrs or attrs.get("href", "/").startswith("http")
    ]
    text = " ".join(parsed.text)
    assert "<script>alert(1)</script>" in text
    assert "version 4" in text
    assert "demonstration model" in text


def test_the_newest_combined_round_says_what_its_rule_survives():
    defence = {"rule": "mean", "sentence": "one <device>", "judged": 3, "refused": {"ENERGY": 1}}
    shown = [{**ROUND, "defence": defence}, ROUND]
    page = pages.dashboard(pages.Dashboard(FIGURES, shown, [MODEL], [], 1_790_000_100))
    text = "".join(read(page).text)
    assert "one <device>" in text
    assert "1 ENERGY of 3" in text


def test_an_empty_aggregator_has_a_dashboard_too():
    assert "none yet" in pages.dashboard(
        pages.Dashboard({**FIGURES, "round": None}, [], [], [], 1_790_000_100)
    )
