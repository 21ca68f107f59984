"""The receiver: speaks the dialects of Slack, Google Chat, Alertmanager and webhooks.

What may be posted, with the limits, errors and rates of the real receivers:

    POST /slack/services/<namespace>/<demo>/<target>
    POST /googlechat/v1/spaces/<namespace>.<demo>/messages?target=<target>
    POST /alertmanager/<namespace>/<demo>/<target>/api/v2/alerts
    POST /webhook/<namespace>/<demo>/<target>
    POST /alertmanager-webhook                  what a real Alertmanager tells: its webhook receiver

What may be asked, where a filter is any of ?namespace= &demo= &target= &dialect=:

    GET    /                                    the page for people; filter, follow=no
    GET    /messages, /counts                   filter; /messages has limit=, the newest so many
    DELETE /messages                            filter; forgets the counts too
    POST   /faults                              see `faults.Fault`; the first that matches applies
    GET    /faults
    DELETE /faults                              filter
    PUT    /settings                            see `admin.Switches`
    GET    /settings, /healthz

Everything is in memory. Nobody is asked who they are: it is for a classroom.
"""
