import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  makeChunk,
  NO_CHUNKS,
  packSnapshotPart,
  type SnapshotHeader,
  type SnapshotPart,
  unpackSnapshotPart,
} from '../../src/base/snapshot-codec.js';
import { packCommand } from '../../src/statemachine/command.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { LevelStateVault } from '../../src/storage/level-state-vault.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import type { StateVault, StateView } from '../../src/storage/snapshot.js';
import { batch, brief, bytes, del, put, readAll, session } from '../statemachine/replica.js';
import { applyAll, flushed, headerOf } from './snapshot-helpers.js';

const parent = mkdtempSync(join(tmpdir(), 'balsa-transfer-'));
afterAll(() => rmSync(parent, { recursive: true }));
const schedule = (complete: () => void): void => void setImmediate(complete);
const limits = { overlayBytesMax: 1024 * 1024 };

const vaults: [string, () => Promise<StateVault>][] = [
  [
    'LevelDB',
    () =>
      LevelStateVault.open({
        folder: mkdtempSync(join(parent, 'v')),
        files: new NodeFiles(),
        limits,
      }),
  ],
  ['memory', async () => new MemoryStateVault({ schedule })],
];

/** A life with keys, histories, deletions, sessions with and without acknowledgement, and members. */
async function live(vault: StateVault): Promise<StateMachine> {
  const machine = await StateMachine.open(vault.current);
  const command = (batches: Parameters<typeof batch>[0][], timeMs: number) => ({
    type: 'command' as const,
    payload: packCommand({ timeMs, batches: batches.map((fields) => batch(fields)) }),
  });
  const entries = [
    { type: 'configuration' as const, payload: bytes('n1 n2 n3') },
    command([{ sessionId: session('a'), operations: [put('x', '1'), put('y', '1')] }], 10),
    command([{ sessionId: session('b'), operations: [put('x', '2')] }], 20),
    command(
      [{ sessionId: session('a'), sequence: 2, acknowledged: 1, operations: [del('y')] }],
      30,
    ),
    { type: 'configuration' as const, payload: bytes('n1 n2 n4') },
    command(
      [{ sessionId: session('a'), sequence: 3, acknowledged: 1, operations: [put('z', '3')] }],
      40,
    ),
  ];
  for (const [position, entry] of entries.entries())
    machine.apply({ index: position + 1, ...entry });
  vault.current.allowDisk(entries.length);
  await flushed(vault.current);
  return machine;
}

/** Sends all parts over a wire of bytes. */
async function transfer(
  view: StateView,
  header: SnapshotHeader,
  target: StateVault,
): Promise<void> {
  const wire = (part: SnapshotPart): SnapshotPart => unpackSnapshotPart(packSnapshotPart(part));
  const first = wire({ type: 'header', header });
  expect(first).toEqual({ type: 'header', header });
  const incoming = await target.beginImport(header);
  let sums = NO_CHUNKS;
  for (let after: Uint8Array | null = null; ; ) {
    const pairs: Awaited<ReturnType<StateView['next']>> = await view.next(after, 60);
    const last = pairs.at(-1);
    if (last === undefined) break;
    after = last[0];
    const made = makeChunk(sums, pairs);
    sums = made.sums;
    const part = wire({ type: 'chunk', chunk: made.chunk });
    if (part.type === 'chunk') await incoming.write(part.chunk);
  }
  const end = wire({ type: 'end', end: sums });
  if (end.type === 'end') await incoming.finish(end.end);
  await target.switchTo(incoming);
}

describe('a state that travels as a snapshot', () => {
  for (const [fromName, makeFrom] of vaults) {
    for (const [toName, makeTo] of vaults) {
      test(`from ${fromName} to ${toName} gives the same answers there, also to retries of old batches`, async () => {
        const [from, to] = [await makeFrom(), await makeTo()];
        const source = await live(from);
        await applyAll(to.current, 3, [{ key: bytes('kold'), value: bytes('rubbish') }]);
        const view = await from.current.view();
        await transfer(view, headerOf(view.index), to);
        await view.close();
        const copy = await StateMachine.open(to.current);

        expect(copy.appliedIndex).toBe(6);
        expect(copy.revision).toBe(source.revision);
        expect(copy.stateHash).toBe(source.stateHash);
        expect(copy.logTimeMs).toBe(source.logTimeMs);
        expect(copy.sessionCount).toBe(2);
        expect(copy.configuration?.index).toBe(5);
        expect(copy.configuration?.payload).toEqual(bytes('n1 n2 n4'));
        for (const revision of [1, 2, 3, 4, null]) {
          expect(await readAll(copy, { revision })).toEqual(await readAll(source, { revision }));
        }

        const retries = [
          batch({
            sessionId: session('a'),
            sequence: 3,
            acknowledged: 1,
            operations: [put('z', '3')],
          }),
          batch({ sessionId: session('b'), sequence: 1, operations: [put('x', '2')] }),
          batch({ sessionId: session('a'), sequence: 1, operations: [put('x', '1')] }),
          batch({
            sessionId: session('a'),
            sequence: 4,
            acknowledged: 3,
            operations: [put('z', '4')],
          }),
        ];
        const payload = packCommand({ timeMs: 50, batches: retries });
        const [here, there] = [source, copy].map((machine) =>
          machine.apply({ index: 7, type: 'command', payload }).map(brief),
        );
        expect(there).toEqual(here);
        expect(there).toEqual(['again put@5', 'again put@3', 'SESSION_EXPIRED unknown', 'put@6']);
        expect(copy.stateHash).toBe(source.stateHash);
        await Promise.all([from.close(), to.close()]);
      });
    }
  }
});

describe('the parts of a snapshot', () => {
  const header = headerOf(40);

  test('a header and an end know when a bit of them is flipped', () => {
    const parts: SnapshotPart[] = [
      { type: 'header', header },
      { type: 'end', end: { chunks: 3, keys: 70, bytes: 12_345, checksum: 0xdead_beef } },
    ];
    for (const part of parts) {
      const whole = packSnapshotPart(part);
      expect(unpackSnapshotPart(whole)).toEqual(part);
      for (let bit = 0; bit < whole.length * 8; bit += 1) {
        const rotten = Buffer.from(whole);
        rotten.writeUInt8(rotten.readUInt8(bit >> 3) ^ (1 << (bit % 8)), bit >> 3);
        expect(() => unpackSnapshotPart(rotten), `bit ${bit}`).toThrow(
          expect.objectContaining({
            code: expect.stringMatching(/SNAPSHOT_CORRUPT|VERSION_UNSUPPORTED/),
          }),
        );
      }
    }
  });

  test('a newer format is refused as such', () => {
    const newer = packSnapshotPart({ type: 'header', header: { ...header, format: 2 } });
    expect(() => unpackSnapshotPart(newer)).toThrow(
      expect.objectContaining({ code: 'VERSION_UNSUPPORTED' }),
    );
  });

  test('what is no part is refused as damage', () => {
    for (const rubbish of [
      Buffer.alloc(0),
      Buffer.of(0xc1),
      Buffer.from([0x91, 9]),
      Buffer.alloc(40),
    ]) {
      expect(() => unpackSnapshotPart(rubbish)).toThrow(
        expect.objectContaining({ code: 'SNAPSHOT_CORRUPT' }),
      );
    }
  });
});
