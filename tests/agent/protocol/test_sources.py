"""Each switched source says one thing."""

from agent.protocol.sources import ONE_IN, SCANNERS, SWITCHED, Source, label_of


def test_scanners_say_malicious_and_the_others_benign():
    assert {source for source in SWITCHED if label_of(source) == 1} == SCANNERS


def test_what_a_person_says_has_no_switch_and_counts_in_full():
    by_a_person = set(Source) - set(SWITCHED)
    assert by_a_person == {Source.PERSON, Source.TABLE}
    assert set(ONE_IN) == {Source.SIGNED}
