"""What the jobs of the ledger's process are made of."""

from dataclasses import dataclass

from gateway.entitlements import Entitlements
from gateway.kernel.kernel import Kernel
from gateway.kernel.liveness import Liveness
from gateway.ledger.database import Database
from gateway.ledger.lease import Lease
from gateway.ledger.reader import Reader
from gateway.ledger.recollection import LedgerRecollection
from gateway.ledger.writer import Writer
from gateway.nodes.recovery import Recovery
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once by the service, for as long as it writes."""

    settings: Settings
    database: Database
    lease: Lease
    writer: Writer
    reader: Reader
    kernel: Kernel
    liveness: Liveness
    entitlements: Entitlements
    recovery: Recovery
    recollection: LedgerRecollection
