"""Two logins have two names."""

from agent.ipc.session import session_of


def test_a_login_has_a_name_of_its_own():
    one = {"DISPLAY": ":0", "XDG_SESSION_ID": "3", "PATH": "/bin"}
    assert session_of(one) == session_of({**one, "PATH": "/usr/bin"})
    names = {session_of(environ) for environ in (one, {**one, "XDG_SESSION_ID": "4"}, {})}
    assert len(names) == 3
    assert all(len(name) == 16 for name in names)
