import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { MemoryStateStore } from '../../src/storage/memory-state-store.js';
import { describeStateStore } from './state-store-conformance.js';

const schedule = (complete: () => void): void => void setImmediate(complete);

describeStateStore('LevelDB', () => {
  const parent = mkdtempSync(join(tmpdir(), 'balsa-state-'));
  // Nearly every entry is a batch of its own.
  const limits = { overlayBytesMax: 512 };
  return {
    open: () => LevelStateStore.open({ folder: join(parent, 'state'), limits }),
    dispose: async () => rmSync(parent, { recursive: true }),
  };
});

describeStateStore('the state in memory', () => {
  let store = new MemoryStateStore({ schedule });
  return {
    open: async () => {
      store = store.crash();
      return store;
    },
    dispose: async () => {},
  };
});
