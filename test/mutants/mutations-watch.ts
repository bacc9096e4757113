import type { Mutation } from './mutation.js';

const HUB = 'test/server/watch/watch-hub.test.ts';
const RUNS = 'test/server/watch/watch-properties.test.ts';
const CLIENT = 'test/client/watch.test.ts';

/** What watches are told. */
export const WATCH_MUTATIONS: readonly Mutation[] = [
  {
    name: 'watch-misses-what-is-applied-while-it-reads',
    bug: 'A watch that reads history goes live behind its page, not behind what was applied meanwhile.',
    history: 'gazette#336',
    edits: [
      {
        file: 'src/server/watch-catch-up.ts',
        find: '      page.add(this.#meanwhile);\n',
        replace: '',
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 50,
  },
  {
    name: 'watch-misses-what-a-snapshot-brought',
    bug: 'Live watches stay live when a snapshot is installed, and never hear of what it skipped.',
    history: 'etcd#8411',
    edits: [
      {
        file: 'src/server/watch-hub.ts',
        find: '      if (watcher.next.revision < next.revision) watcher.next = next;\n      this.#fallBehind(watcher);\n',
        replace: '',
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 0,
  },
  {
    name: 'watch-drops-what-a-full-stream-does-not-take',
    bug: 'A watch whose stream is full goes on behind the events that it could not be sent.',
    history: 'etcd#17529',
    edits: [
      {
        file: 'src/server/watch-hub.ts',
        find: '    watcher.next = told.blockedAt;',
        replace: '    watcher.next = { revision: through + 1, sub: 0 };',
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 50,
  },
  {
    name: 'watch-backlog-without-bound',
    bug: 'Events are sent to a client however many of them it has not read.',
    history: 'etcd#16839',
    edits: [
      {
        file: 'src/server/watch-answers.ts',
        find: '    if (sink.waitingBytes > limits.watchBacklogBytesMax) {',
        replace: '    if (sink.waitingBytes > limits.watchBacklogBytesMax * 1e6) {',
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 0,
  },
  {
    name: 'watch-fragment-told-as-whole',
    bug: 'A part of a revision is told as if it were all of it.',
    history: 'etcd#9294',
    edits: [
      {
        file: 'src/server/watch-answers.ts',
        find: 'more: next?.revision === last },',
        replace: 'more: false },',
      },
    ],
    rules: [HUB],
    seedsMax: 0,
  },
  {
    name: 'watch-progress-ahead-of-history',
    bug: 'A watch that still reads history is told the progress of the store.',
    history: 'etcd#15220',
    edits: [
      {
        file: 'src/server/watch-hub.ts',
        find: "    if (watcher.phase !== 'live') return watcher.next.revision - 1;\n",
        replace: '',
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 50,
  },
  {
    name: 'watch-progress-ahead-of-the-turn',
    bug: 'Progress of a live watch counts events that it has not been sent.',
    history: 'etcd#15220',
    edits: [
      {
        file: 'src/server/watch-hub.ts',
        find: 'return first === undefined ? this.#source.revision : first.revision - 1;',
        replace: 'return first === undefined ? this.#source.revision : this.#source.revision;',
      },
    ],
    rules: [HUB],
    seedsMax: 0,
  },
  {
    name: 'watch-filter-drops-the-wrong-kind',
    bug: 'A watch without puts gets no deletions either.',
    history: '-',
    edits: [
      {
        file: 'src/server/watcher.ts',
        find: "return type === 'put' ? !this.#noPuts : !this.#noDeletes;",
        replace: "return type === 'put' ? !this.#noPuts : !this.#noDeletes && !this.#noPuts;",
      },
    ],
    rules: [HUB, RUNS],
    seedsMax: 50,
  },
  {
    name: 'watch-of-compacted-history-begins',
    bug: 'A watch from a revision that is no longer kept begins with what is left.',
    history: 'etcd#18089, etcd#19179',
    edits: [
      {
        file: 'src/server/watch-hub.ts',
        find: '    if (next.revision < compactedRevision) throw compacted(next, this.#source);\n',
        replace: '',
      },
    ],
    rules: [HUB],
    seedsMax: 0,
  },
  {
    name: 'watch-interval-tree-forgets-how-far-it-reaches',
    bug: 'A node of the tree of ranges knows its own end only, not that of those below it.',
    history: '-',
    edits: [
      {
        file: 'src/server/interval-tree.ts',
        find: '  if (node.left !== null) node.end = later(node.end, node.left.end);\n',
        replace: '',
      },
    ],
    rules: ['test/server/watch/watch-index.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'watch-resumed-one-too-late',
    bug: 'A watch that changes its replica goes on one revision too late.',
    history: 'python-etcd3#729',
    edits: [
      {
        file: 'src/client/subscription.ts',
        find: '    const startRevision = this.#next;',
        replace:
          '    const startRevision = this.#next === null || !this.wasEstablished ? this.#next : this.#next + 1;',
      },
    ],
    rules: [CLIENT],
    seedsMax: 50,
  },
  {
    name: 'watch-told-again-after-reconnect',
    bug: 'A watch that changes its replica is told its last revision again.',
    history: 'jetcd#949',
    edits: [
      {
        file: 'src/client/subscription.ts',
        find: '    this.#next = Math.max(next, this.#next ?? 0);',
        replace: '    this.#next = Math.max(next - 1, this.#next ?? 0);',
      },
    ],
    rules: [CLIENT],
    seedsMax: 50,
  },
  {
    name: 'watch-keeps-part-of-a-revision-across-links',
    bug: 'What was told of a revision before the link was lost is kept, and told again by the next replica.',
    history: 'python-etcd3#729',
    edits: [
      {
        file: 'src/client/subscription.ts',
        find: "    this.phase = 'waiting';\n    this.#partial = [];\n",
        replace: "    this.phase = 'waiting';\n",
      },
    ],
    rules: [CLIENT],
    seedsMax: 0,
  },
  {
    name: 'watch-buffers-without-bound-in-the-client',
    bug: 'Events that nobody takes pile up in the client.',
    history: 'etcd-backup-restore#152',
    edits: [
      {
        file: 'src/client/watches.ts',
        find: '        if (subscription.pauseIfFull()) this.#cancel(subscription);\n',
        replace: '',
      },
    ],
    rules: [CLIENT],
    seedsMax: 0,
  },
  {
    name: 'watch-refusals-put-off-the-search',
    bug: 'Each refusal of a replica that knows no leader puts off the search for the leader, so that it never comes.',
    history: 'ours, found by the simulator',
    edits: [
      {
        file: 'src/client/watches.ts',
        find: '      if (!connection.ready) return;\n',
        replace: '',
      },
    ],
    rules: [CLIENT],
    seedsMax: 0,
  },
];
