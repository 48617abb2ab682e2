"""The bus of wsbus for Python programs with asyncio: the Handler of wsbus.py, or of wsbus_shm.py, that never holds the loop up.

    from wsbus_aio import Handler

    async def main():
        async with Handler(routes=["echo"]) as bus:
            async for event in bus:
                if event.type == "data":
                    bus.send(event.conn, event.payload, event.opcode)

    asyncio.run(main())

Commands are those of the Handler beneath, with the same arguments and results. They do not wait, and are no coroutines: what was
commanded leaves when the loop comes round, whoever commanded it. `await bus.room()` waits while much of it has not left. What
is said there about events holds here: by asking for the next one the program says that it is done with the one before. A
program that gives its events to tasks wants manual_ack=True, and `bus.ack(event.conn, event.seq)` when a task is done.

One task at a time reads. A read() that is cancelled, or is over in time, has taken nothing. One Handler belongs to one loop.
"""

import asyncio
import time

COMMANDS = ("send", "publish", "tag", "close", "accept", "reject", "respond", "continue_", "body", "join", "leave", "ping", "list", "ack",
            "working", "log")
RETRY_S = 0.1  # after the gate has not taken something
IDLE_S = 1.0  # between two looks at what has no descriptor: a gate that is silent, or has been restarted
ROOM_BYTES = 1 << 20


def _over_zmq(*args, **kwargs):
    import wsbus  # not at the top: over shared memory no ZeroMQ binding is needed

    class Patient(wsbus.Handler):
        """One that never waits: the loop does."""

        def _send(self, parts, wait_ms=None):
            return super()._send(parts, 0)

        def flush(self, wait_ms=None):
            super().flush(0)

        def _patience(self):
            return 0

        def _await_gate(self):
            pass  # it is greeted when the loop finds it

        @property
        def is_late(self):
            """Something waits that no descriptor tells of."""
            return self._is_deaf or self._is_hello_due

        @property
        def waiting_bytes(self):
            return self._out_bytes

    return Patient(*args, **kwargs)


def _over_shm(*args, **kwargs):
    import wsbus_shm

    class Patient(wsbus_shm.Handler):
        is_late = False  # libwsbus has timers behind its descriptor
        waiting_bytes = 0  # and refuses what finds no room

    return Patient(*args, **kwargs)


LINKS = {"zmq": _over_zmq, "shm": _over_shm}


class Handler:
    """A registered handler. over: "zmq", or "shm" for libwsbus; the rest goes to the Handler of wsbus.py or wsbus_shm.py."""

    def __init__(self, routes, over="zmq", **options):
        self._sync = LINKS[over](routes, **options)
        self._fd = self._sync.fileno()
        self._loop = None
        self._woken = None
        self._is_open = True
        self._is_reading = self._is_leaving = False

    # --- the life

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        await self.disconnect()

    def __aiter__(self):
        return self

    async def __anext__(self):
        event = await self.read()
        if event.type == "drain" and not event.more:
            raise StopAsyncIteration  # nothing is left to do
        return event

    async def disconnect(self):
        """Say BYE. The event that the program still has is not done with: another handler gets it."""
        if self._is_open:
            self._is_open = False
            self._unwatch()
            self._sync.disconnect()
            if self._woken is not None:
                self._woken.set()  # a read under way ends

    # --- in

    async def read(self, timeout=None):
        """The next event; None when there is none within so many seconds. The one before is done with."""
        if self._is_reading:
            raise RuntimeError("another task reads")
        self._bind()
        self._is_reading = True
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                self._woken.clear()
                event = self._take()
                if event is not None:
                    return event
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                await self._wait(deadline)
        finally:
            self._is_reading = False

    def _take(self):
        if not self._is_open:
            raise RuntimeError("this Handler is disconnected")
        return self._sync.read(0)

    async def _wait(self, deadline):
        wait = RETRY_S if self._sync.is_late else IDLE_S
        if deadline is not None:
            wait = min(wait, max(0, deadline - time.monotonic()))
        self._loop.add_reader(self._fd, self._wake)
        # Not wait_for(): before Python 3.12 it forgets a cancellation that comes together with the event.
        timer = self._loop.call_later(wait, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
            self._unwatch()

    def _wake(self):
        self._unwatch()  # it stays readable until we have read, and that may take a while
        self._woken.set()

    def _unwatch(self):
        if self._loop is not None and self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def _bind(self):
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._woken = loop, asyncio.Event()
        elif self._loop is not loop:
            raise RuntimeError("this Handler belongs to another loop")

    # --- out

    def flush(self):
        """Let what was commanded leave now, as far as there is room, and not when the loop comes round."""
        self._is_leaving = False
        if self._is_open:
            self._sync.flush()
            if self._woken is not None:
                self._woken.set()  # to send may have taken in what the descriptor would have told of

    def _leave_soon(self):
        self._bind()
        if not self._is_leaving:
            self._is_leaving = True
            self._loop.call_soon(self.flush)

    async def room(self, limit=ROOM_BYTES):
        """Wait until no more than so many bytes of commands wait for the gate."""
        self.flush()
        while self._is_open and self._sync.waiting_bytes > limit:
            await asyncio.sleep(RETRY_S / 10)
            self.flush()

    def __getattr__(self, name):
        """What the Handler beneath tells: epoch, id, lost, stale, …"""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._sync, name)


def _command(name):
    def command(self, *args, **kwargs):
        try:
            return getattr(self._sync, name)(*args, **kwargs)
        finally:
            self._leave_soon()

    command.__name__ = command.__qualname__ = name
    command.__doc__ = "As %s() of the Handler beneath." % name
    return command


for _name in COMMANDS:
    setattr(Handler, _name, _command(_name))
