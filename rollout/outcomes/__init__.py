"""What users did with what they were shown: events are kept, added up for each arm, and compared.

In: files of events; the audit log, which says who was in which arm at any time. Out: the state of an experiment, with a
decision and its reason. Start with `experiment`; `event_log` keeps the events that `event_file` reads.
"""
