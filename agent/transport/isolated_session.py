"""A session of requests that ignores the environment, keeps no cookie and follows no redirect."""

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter


class IsolatedSession(requests.Session):
    """HTTPS through one adapter, and nothing else.

    `trust_env` is off: certificate bundles, proxies and .netrc of this computer do not apply.
    """

    def __init__(self, adapter: HTTPAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.adapters.clear()
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Leave redirects to the caller.

        `allow_redirects=False` alone does not bound them: requests would still read their whole
        body, however large.
        """
