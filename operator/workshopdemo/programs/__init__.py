"""What runs inside the demos' Pods: `python3 -m workshopdemo.programs.<name>`.

Each program is a lesson: it does real, small work and its log says in plain words what happens.
They need nothing but Python's standard library (and PostgreSQL's driver, where a demo has such a
database), no writable place but /tmp and the directory they are given, and they know nothing of the
operator.
"""
