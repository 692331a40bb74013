"""Test tools for Penstock and for what is built on it. Public; beside the floors, and no floor imports them.

``playbook`` writes a stream's story as a script in virtual time · ``run`` plays a stream against a scripted provider ·
``faults`` breaks the Nth step · ``laws`` holds every transcript to the machine's laws · ``corpus`` finds recordings.

Over real sockets: ``rig`` puts a gateway between scripted providers (``upstream``, ``steps``) and raw clients
(``client``), and checks that nothing is left behind · ``process`` is a gateway in a process of its own.
"""
