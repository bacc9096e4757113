import type { Mutation } from './mutation.js';

/** The log on disk, the state on disk, snapshots in the shell. */
export const STORAGE_MUTATIONS: readonly Mutation[] = [
  {
    name: 'failed-sync-not-made-good',
    bug: 'What a restart reads behind a sync that failed counts as durable, although no sync writes it any more.',
    history: 'PostgreSQL 2018 (fsyncgate)',
    edits: [
      {
        file: 'src/storage/wal/recovery.ts',
        find: '  if (lastFrame !== null) file.writeAt(lastFrame.offset, [lastFrame.bytes]);\n',
        replace: '',
      },
    ],
    rules: ['test/storage/wal-failure.test.ts', 'test/storage/delta-queue.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'fsync-skipped',
    bug: 'A write to the log counts as durable without a sync.',
    history: 'skiff',
    edits: [
      {
        file: 'src/storage/wal/wal-writer.ts',
        find: '(done) => segment.file.syncLater(done),',
        replace: '(done) => clock.defer(() => done(null)),',
      },
    ],
    rules: ['test/storage/log-store.test.ts', 'test/storage/wal-crash.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'fsync-error-ignored',
    bug: 'A sync that fails counts as done.',
    history: 'PostgreSQL: errors of fsync, 2018',
    edits: [
      {
        file: 'src/storage/wal/wal-writer.ts',
        find: '(done) => segment.file.syncLater(done),',
        replace: '(done) => segment.file.syncLater(() => done(null)),',
      },
    ],
    rules: ['test/storage/wal-failure.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'term-lost-behind-entries',
    bug: 'Entries of a new term reach the disk, the term itself does not.',
    history: 'openraft, docs on the order of writes',
    edits: [
      {
        file: 'src/storage/wal/wal-writer.ts',
        find: 'hardState = write?.hardState ?? hardState;',
        replace: 'hardState = (write?.entries.length === 0 ? write.hardState : null) ?? hardState;',
      },
    ],
    rules: ['test/storage/log-store.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'missing-directory-fsync',
    bug: 'A new file of the log is not made durable in its folder.',
    history: 'etcd#6368',
    edits: [
      {
        file: 'src/storage/wal/segment-supply.ts',
        find: 'files.syncFolderLater(folder, step(adopt));',
        replace: "if (folder !== '') step(adopt)(null);",
      },
    ],
    rules: ['test/storage/wal-crash.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'damage-cut-as-torn-tail',
    bug: 'A bad record in the middle of the log is taken for a torn tail, and all behind it is cut off.',
    history: 'camunda#6098; protocol-aware recovery (FAST 2018)',
    edits: [
      {
        file: 'src/storage/wal/recovery.ts',
        find: '      if (proof !== null) {',
        replace: '      if (proof !== null && sequence < 0) {',
      },
    ],
    rules: ['test/storage/wal-damage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'checksums-of-entries-not-checked',
    bug: 'Rotten or torn entries of the log are taken for good.',
    history: 'protocol-aware recovery (FAST 2018)',
    edits: [
      {
        file: 'src/storage/wal/record.ts',
        find: 'if (payload.length !== payloadBytes || crc32(payload, salt) !== checksum) return null;',
        replace: 'if (payload.length !== payloadBytes) return null;',
      },
    ],
    rules: ['test/storage/wal-damage.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'hard-state-lost-in-reset',
    bug: 'Term and vote are gone when the log is reset to a snapshot.',
    history: 'the hard-state variant of openraft#559',
    edits: [
      {
        file: 'src/storage/wal/wal-writer.ts',
        find: "items.push({ kind: isReset ? 'reset' : 'log-start', position: logStart });",
        replace: `items.push({ kind: isReset ? 'reset' : 'log-start', position: logStart });
      if (isReset) hardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };`,
      },
    ],
    rules: ['test/storage/log-store.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'state-ahead-of-log',
    bug: 'Effects of entries reach the disk before the entries do.',
    history: 'the write-ahead rule (ARIES, 1992)',
    edits: [
      {
        file: 'src/server/replica.ts',
        find: 'allowDisk(Math.min(flushedIndex, commitIndex));',
        replace: 'allowDisk(Math.max(flushedIndex, commitIndex));',
      },
    ],
    rules: ['test/server/replica.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'applied-index-not-atomic',
    bug: 'The applied index reaches the disk before the effects of its entries.',
    history: 'etcd#13766, the post-mortem of v3.5',
    edits: [
      {
        file: 'src/storage/memory-state-store.ts',
        find: '  disk.index = entry.index;',
        replace: '  disk.index = entry.index + 1;',
      },
    ],
    rules: ['test/storage/state-store.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'log-compacted-beyond-the-state',
    bug: 'The log is cut behind entries whose effects are not durable yet.',
    history: 'Raft paper, section 7',
    edits: [
      {
        file: 'src/server/compaction.ts',
        find: 'const index = Math.min(target, store().syncedIndex());',
        replace: 'const index = target;',
      },
      {
        file: 'src/server/compaction.ts',
        find: 'if (store().syncedIndex() < wanted) {',
        replace: 'if (wanted < 0) {',
      },
    ],
    rules: ['test/server/compaction.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'log-reset-before-the-state-is-switched',
    bug: 'The log begins behind a snapshot that is not the state yet.',
    history: 'rqlite#2759, tikv#12470',
    edits: [
      {
        file: 'src/server/snapshot-installer.ts',
        find: '  await vault.switchTo(finished, async (store) => {',
        replace: `  await new Promise<void>((resolve, reject) => {
    logStore.resetTo(position, (error) => (error === null ? resolve() : reject(error)));
  });
  await vault.switchTo(finished, async (store) => {`,
      },
    ],
    rules: ['test/server/replica-snapshot.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'interrupted-install-not-finished',
    bug: 'After a crash between the switch of the state and the reset of the log, the log stays.',
    history: 'openraft#559, tikv#12470',
    edits: [
      {
        file: 'src/server/finish-install.ts',
        find: 'if (installed === null || reaches(before, installed)) return before;',
        replace: 'if (installed === null || before.lastIndex >= 0) return before;',
      },
    ],
    rules: ['test/server/finish-install.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'snapshot-acknowledged-before-complete',
    bug: 'A snapshot is handed to the core before its last chunks are checked and durable.',
    history: 'dgraph#2707',
    edits: [
      {
        file: 'src/server/snapshot-receiver.ts',
        find: '    await incoming.state.finish(end);\n',
        replace: '    void incoming.state.finish(end).catch(() => {});\n',
      },
    ],
    rules: ['test/server/snapshot-transfer.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'snapshot-without-sessions',
    bug: 'The table of sessions is not in the snapshot: a retry is applied a second time.',
    history: 'thesis, section 6.3',
    edits: [
      {
        file: 'src/server/outbound-snapshot.ts',
        find: 'const made = makeChunk(sums, pairs);',
        replace: 'const made = makeChunk(sums, pairs.filter(([key]) => key[0] !== 0x73));',
      },
    ],
    rules: ['test/server/replica-snapshot.test.ts'],
    seedsMax: 100,
  },
  {
    name: 'nondeterministic-apply',
    bug: 'Applying an entry reads the clock of the machine.',
    history: 'etcd#11651, etcd#18667',
    edits: [
      {
        file: 'src/statemachine/state-machine.ts',
        find: 'this.#logTimeMs = Math.max(this.#logTimeMs, command.timeMs);',
        replace:
          'this.#logTimeMs = Math.max(this.#logTimeMs, command.timeMs) + (performance.now() % 2 | 0);',
      },
    ],
    rules: ['test/statemachine/model.test.ts'],
    seedsMax: 50,
  },
  {
    name: 'log-given-up-while-a-snapshot-travels',
    bug: 'The leader gives up the log behind a snapshot that is still on its way: another is needed.',
    history: 'openraft#1706, camunda#5135',
    edits: [
      {
        file: 'src/server/compaction-policy.ts',
        find: 'const target = Math.min(withoutPins(facts), facts.hardPin, lowestPin(facts));',
        replace: 'const target = Math.min(withoutPins(facts), facts.hardPin);',
      },
    ],
    rules: ['test/server/compaction.test.ts'],
    seedsMax: 0,
  },
];
