"""A contract fake of Twilio's Messages API, as its public reference describes it; it can refuse, be away, or hang."""

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

from aiohttp import encode_basic_auth, web

ACCOUNT, KEY_SID, KEY = f"AC{'0' * 32}", f"SK{'1' * 32}", "a key of nobody"
FROM = "+12025550123"
_STATUS_OF = {20003: 401, 20429: 429, 21408: 400, 21610: 400}


@dataclass
class FakeTwilio:
    """`refuses`: the code by which it refuses. `status`: what it answers beside everything else, such as 503. `mute`:
    it does what it is asked, and its answer is lost. `holds_its_answer`: it answers when it `may_answer`."""

    refuses: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    holds_its_answer: bool = False
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    mute: bool = False
    taken: list[dict[str, str]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self) -> list[web.RouteDef]:
        """To be served."""
        return [web.post("/2010-04-01/Accounts/{account}/Messages.json", self._create)]

    async def _create(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-www-form-urlencoded"
        if request.headers["Authorization"] != encode_basic_auth(KEY_SID, KEY):
            return self._refusal(20003)
        if request.match_info["account"] != ACCOUNT:
            return self._refusal(20404)
        if self.status:
            return web.Response(status=self.status, text="<html>away</html>", headers=self.headers)
        if self.refuses:
            return self._refusal(self.refuses)
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert ("From" in form) != ("MessagingServiceSid" in form)
        self.taken.append(form)
        self.arrived.set()
        if self.mute:
            assert request.transport is not None
            request.transport.close()
        if self.holds_its_answer:
            await self.may_answer.wait()
        sid = f"SM{uuid4().hex}"
        return web.json_response({"sid": sid, "status": "queued", "to": form["To"], "error_code": None}, status=201)

    def _refusal(self, code: int) -> web.Response:
        status = _STATUS_OF.get(code, 400)
        said = {"code": code, "message": "The number +628123456789 is refused", "status": status}
        return web.json_response(said, status=status, headers=self.headers)
