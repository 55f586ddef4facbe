"""What an objective may do in a process of ours: start processes, and end them."""

import multiprocessing
import subprocess
import sys
import time


def answer(connection):
    """Serve as a child: say which signals end what it starts, and how long that takes."""
    # As an objective's library does, which knows nothing of us.
    from hpo_bench.running.processes import settle_in

    tell = settle_in(connection)
    while connection.recv() != "stop":
        began = time.monotonic()
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        program.terminate()
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        forked.start()
        forked.terminate()
        forked.join()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            squares = pool.map(abs, [-1, 2])
        codes = [program.wait(), forked.exitcode]
        tell("ended", (codes, squares, time.monotonic() - began))
