"""One bridged server, served as a model is."""
import ssl
from typing import Dict, NamedTuple, Optional, Type

from ..errors import ModelError
from ..http import Server
from ..predictor import Predictor
from ..process import Spec
from ..run import Event, Run
from ..session import Settings
from .client import Client
from .cog import Cog
from .kserve import KServe
from .labelstudio import LabelStudio
from .multipart import Multipart
from .protocol import Options, Protocol
from .remote import Remote

PROTOCOLS: Dict[str, Type[Protocol]] = {"multipart": Multipart, "cog": Cog, "kserve": KServe, "labelstudio": LabelStudio}


class Bridged(NamedTuple):
    """Which server, and as which model."""

    protocol: str
    url: str
    name: str
    version: Optional[str] = None
    options: Options = Options()
    leave_s: Optional[float] = None  # the bridge ends when the server has not been ready for so long
    trust: Optional[ssl.SSLContext] = None

    def open(self) -> Protocol:
        """Its protocol, nothing asked yet. Raises `ModelError`."""
        kind = PROTOCOLS[self.protocol]
        if self.options.image not in (None, *kind.IMAGES):
            raise ModelError("--image %s: the protocol %s knows %s" % (
                self.options.image, self.protocol, " and ".join(filter(None, kind.IMAGES)) or "no choice"))
        return kind(Client(self.url, self.trust), self.options)


class Bridge(Run):
    """`Run`, with the server in the place of a model."""

    def __init__(self, bridged: Bridged, server: Server, settings: Settings):
        """Raises `ModelError`."""
        bridged.open()

        def reach(spec: Spec, processes: int) -> Predictor:
            return Remote(bridged.open(), bridged.name, bridged.version, bridged.leave_s, lambda: self.events.put(Event("signal")))
        super().__init__(Spec(bridged.url, bridged.name, bridged.version), server, settings, pool=reach)

    def _open(self) -> None:
        super()._open()
        assert isinstance(self.pool, Remote) and self.session is not None
        self.pool.trouble = self.session.stall
