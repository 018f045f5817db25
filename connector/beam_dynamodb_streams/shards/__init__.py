"""The shards of a stream as values: how they are related, how far each is read, and which begins next. Pure.

The states of a shard, as one frontier sees it. Each has one word, here and in the code:

| state | meaning | where it is kept |
|---|---|---|
| unlisted | no listing has shown it, though a child names it as its parent | nowhere; its child waits |
| doubtful | unlisted, and the service is being asked whether it is gone | `Discovery.doubtful` |
| gone | the service says that it does not exist | `Seen.gone` |
| listed | a listing has shown it, and it is not reached yet | `Lineage` |
| awaited | listed, and it certainly descends from a shard of this frontier | `Frontier.awaited` |
| saved | an earlier run had a position in it, and it is not reached yet | `Frontier.saved` |
| open | it is being read: its position is a start or a sequence number | `Frontier.shards`, `open_shards` |
| ended | it was read to its end; it stays until its children have begun | `Frontier.shards`, `ended_shards` |
| leaf | ended, and certainly without children | `Seen.leaves` |
| finished | it needs no more reading, and may stay listed for hours | `Frontier.finished` |
| foreign | finished, and its children are not for this frontier | `Finished.children` is None |
| unconfirmed | foreign, and its own frontier may not have seen it yet | `Frontier.unconfirmed` |
| fading | foreign, old and not listed: forgotten once it is gone | `Discovery.fading` |
| forgotten | no longer in the frontier | nowhere |

```
            +---------- gone ----------+
            |                          v
unlisted -> doubtful -> listed ----> open ----> ended ----> finished ----> forgotten
                          |  ^         |          |            ^              ^
                          |  | adopted |          +--- leaf ---+              |
                          |  |         | past the stop                        |
                          v  |         v                                      |
                         foreign (unconfirmed) ---------> fading -- gone -----+
```

A shard begins (listed to open) once all its parents that this frontier reads have ended or are gone. An ended shard
leaves in the same step in which the last of its known children begins. So a stored frontier always has the parent or
all its known children. A shard that is gone while it is open ends, with a loss (`loss`).
"""
