"""Like `victim`, with machine code that was made executable before the lock, and raw system calls."""

from __future__ import annotations

import ctypes
import mmap
import platform

_SCOPE: dict[str, object] = {}
_PAGES: list[mmap.mmap] = []
_X86_64 = {
    "native_add": "8d 04 37 c3",  # lea eax, [rdi + rsi]; ret
    "native_int80": "89 f8 cd 80 c3",  # mov eax, edi; int 0x80; ret
}


def warm() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _SCOPE["syscall"] = lambda number, *arguments: libc.syscall(number, *map(ctypes.c_ulong, arguments))
    if platform.machine() != "x86_64":
        return
    private, everything = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    for name, code in _X86_64.items():
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=private, prot=everything)
        page.write(bytes.fromhex(code))
        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)
        _SCOPE[name] = function(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        _PAGES.append(page)


def run(payload: dict) -> bytes:
    scope = dict(_SCOPE)
    exec(payload["code"], scope)
    return str(scope.get("result", "")).encode()
