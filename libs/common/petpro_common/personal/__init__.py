"""Personal data: what a service holds of a person is told to them (`held`, `servicer`), and erased (`erasure`).

- Each service says in one place which of its tables are about a person, and which columns it tells of them; a test
  holds that against the database, so that no column can be forgotten.
- account erases a person and tells of it as `user.erased`. Each other service anonymises what it holds of them, in the
  transaction in which it claims that event, and keeps the id in `erased_users`.
- What was on its way then may still write something of theirs: a call in hand, a saga's command, a message that was set
  aside. So what is held of people who were erased of late is anonymised again and again, as long as a message may come.
"""
