import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { MemoryLogStore } from '../../src/storage/memory-log-store.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { describeLogStore } from './log-store-conformance.js';

const schedule = (complete: () => void): void => void setImmediate(complete);
const limits = { walSegmentBytes: 16 * 1024, logCacheBytesMax: 64 * 1024 * 1024 };

describeLogStore('the write-ahead log on a disk', () => {
  const parent = mkdtempSync(join(tmpdir(), 'balsa-wal-'));
  return {
    open: () => Wal.open({ folder: join(parent, 'wal'), files: new NodeFiles(), limits }),
    dispose: () => rmSync(parent, { recursive: true }),
  };
});

describeLogStore('the write-ahead log on a simulated disk', () => {
  const files = new MemoryFiles({ schedule });
  return { open: () => Wal.open({ folder: '/wal', files, limits, salt: 7 }), dispose: () => {} };
});

describeLogStore('the log in memory', () => {
  let store = new MemoryLogStore({ schedule });
  return {
    open: () => {
      store = store.restart('lost');
      return store;
    },
    dispose: () => {},
  };
});
