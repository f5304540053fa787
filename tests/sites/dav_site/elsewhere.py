"""The same two applications in Cheroot: elsewhere.py PORT"""

import runpy
import sys
from pathlib import Path

from cheroot import wsgi

HERE = Path(__file__).parent
APPLICATIONS = {mount: runpy.run_path(str(HERE / script))["application"]
                for mount, script in [("/user", "xandikos_wsgi.py"), ("/", "pywebdav_wsgi.py")]}

wsgi.Server(("127.0.0.1", int(sys.argv[1])), wsgi.PathInfoDispatcher(APPLICATIONS)).start()
