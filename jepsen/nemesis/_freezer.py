"""A process of its own: freezes and thaws file systems on command, and thaws them all when its stdin ends. See disks.Freezer."""

import fcntl
import os
import sys

FREEZE, THAW = 0xC0045877, 0xC0045878


def main():
    frozen = {}  # directory -> descriptor; open only while frozen, or the disk could not be unmounted
    try:
        for line in sys.stdin:
            what, directory = line.rstrip("\n").split(" ", 1)
            try:
                if what == "freeze" and directory not in frozen:
                    descriptor = os.open(directory, os.O_RDONLY)
                    fcntl.ioctl(descriptor, FREEZE, 0)
                    frozen[directory] = descriptor
                elif what == "thaw" and directory in frozen:
                    thaw(frozen.pop(directory))
                print("ok", flush=True)
            except OSError as error:
                print(error, flush=True)
    finally:
        for descriptor in frozen.values():
            thaw(descriptor)


def thaw(descriptor):
    fcntl.ioctl(descriptor, THAW, 0)
    os.close(descriptor)


main()
