import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import {
  type CrashChoice,
  KEEP_UNSYNCED,
  LOSE_UNSYNCED,
  MemoryFiles,
  tearUnsynced,
} from '../../src/storage/memory-files.js';
import { entries, type LogChange, ModelLog, restoredFacts, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';
import { openWal, runScript, scriptedChanges } from './wal-script.js';

interface CrashedRun {
  readonly files: MemoryFiles;
  readonly submitted: readonly LogChange[];
  readonly acknowledged: number;
}

/** Runs the script until the disk has taken `steps` steps; then the machine stops. */
function runUntil(steps: number): CrashedRun {
  const world = new ManualWorld();
  const files = new MemoryFiles({ schedule: world.schedule });
  files.onStep = ({ number }) => {
    if (number === steps) files.halt();
  };
  const script = scriptedChanges();
  let acknowledged = 0;
  try {
    const wal = openWal(files, world);
    runScript(wal, world, script, () => {
      acknowledged += 1;
    });
    void wal.close();
    world.run();
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code ?? String(error)).toMatch(/EHALTED|UNUSABLE/);
  }
  return { files, submitted: script.flat(), acknowledged };
}

/** What the log is after so many changes of the script. */
const factsAfter: readonly string[] = (() => {
  const model = new ModelLog();
  return [null, ...scriptedChanges().flat()].map((change) => {
    if (change !== null) model.apply(change);
    return JSON.stringify(model.facts());
  });
})();

/** The number of changes that the recovered log is the result of; -1 when it is of none. */
function recoveredPrefix(facts: unknown, run: CrashedRun): number {
  const count = factsAfter.lastIndexOf(JSON.stringify(facts));
  return count >= run.acknowledged ? count : -1;
}

const allSteps = runUntil(Number.POSITIVE_INFINITY).files.steps;

describe('a crash of the machine at any step', () => {
  test('the script has many steps, and changes segments', () => {
    const { files, acknowledged, submitted } = runUntil(Number.POSITIVE_INFINITY);
    expect(acknowledged).toBe(submitted.length);
    expect(allSteps).toBeGreaterThan(150);
    const segments = files.crash(KEEP_UNSYNCED).list('/data/wal');
    // Those before the last reset and the last compaction are gone.
    expect(segments.length).toBeLessThan(5);
    expect(Number.parseInt(String(segments[0]), 16)).toBeGreaterThan(10);
  });

  const choices: [string, (seed: number) => CrashChoice, number][] = [
    ['all that was not synced is lost', () => LOSE_UNSYNCED, 1],
    ['all that was written is kept', () => KEEP_UNSYNCED, 1],
    ['what was not synced is torn', (seed) => tearUnsynced(seededRandom(seed)), 8],
  ];

  for (const [title, choose, seeds] of choices) {
    test(`leaves what was acknowledged and a prefix of the rest when ${title}`, () => {
      for (let step = 1; step <= allSteps; step += 1) {
        const run = runUntil(step);
        for (let seed = 1; seed <= seeds; seed += 1) {
          const world = new ManualWorld();
          const after = run.files.crash(choose(seed * 1000 + step), world.schedule);
          const wal = openWal(after, world);
          const facts = restoredFacts(wal);
          const prefix = recoveredPrefix(facts, run);
          expect(prefix, `step ${step}, seed ${seed}`).toBeGreaterThanOrEqual(run.acknowledged);

          // It goes on from there, and a second crash finds that too.
          const next = wal.restored.lastIndex + 1;
          const more = write(entries(next, 2, 9, 'after the crash'));
          let isDone = false;
          wal.append(more, (error) => {
            isDone = error === null;
          });
          world.run();
          expect(isDone).toBe(true);
          const later = openWal(after.crash(LOSE_UNSYNCED), new ManualWorld());
          const expected = ModelLog.after([...run.submitted.slice(0, prefix), more]);
          expect(restoredFacts(later)).toEqual(expected.facts());
        }
      }
    });
  }

  test('a kill leaves what the next process can trust, even if power fails then', () => {
    for (let step = 1; step <= allSteps; step += 1) {
      const run = runUntil(step);
      const killed = run.files.kill();
      const world = new ManualWorld();
      const facts = restoredFacts(openWal(killed, world));
      expect(recoveredPrefix(facts, run)).toBeGreaterThanOrEqual(run.acknowledged);
      const later = openWal(killed.crash(LOSE_UNSYNCED), new ManualWorld());
      expect(restoredFacts(later)).toEqual(facts);
    }
  });

  test('a kill leaves segments that the next process can write to, even if power fails then', () => {
    for (let step = 1; step <= allSteps; step += 1) {
      const world = new ManualWorld();
      const killed = runUntil(step).files.kill(world.schedule);
      const wal = openWal(killed, world);
      const index = wal.restored.lastIndex + 1;
      let acknowledged = wal.restored.lastIndex;
      for (let more = 0; more < 3; more += 1) {
        wal.append(write(entries(index + more, 1, 9, 'g'.repeat(3000))), (error) => {
          if (error === null) acknowledged += 1;
        });
      }
      // Power fails the moment that the last one is acknowledged.
      while (acknowledged < index + 2 && world.runOne());
      expect(acknowledged).toBe(index + 2);
      const later = openWal(killed.crash(LOSE_UNSYNCED), new ManualWorld());
      expect(later.restored.lastIndex).toBe(acknowledged);
    }
  });

  test('a crash in the repair of a crash does no harm', () => {
    for (let step = 1; step <= allSteps; step += 3) {
      const run = runUntil(step);
      for (let seed = 1; seed <= 3; seed += 1) {
        const torn = run.files.crash(tearUnsynced(seededRandom(seed * 77 + step)));
        for (let repairSteps = 1; repairSteps <= 4; repairSteps += 1) {
          const repaired = torn.crash(KEEP_UNSYNCED);
          repaired.onStep = ({ number }) => {
            if (number === repairSteps) repaired.halt();
          };
          try {
            openWal(repaired, new ManualWorld());
          } catch {
            // The machine stopped while the log was opened.
          }
          const last = repaired.crash(tearUnsynced(seededRandom(seed + step)));
          const facts = restoredFacts(openWal(last, new ManualWorld()));
          expect(recoveredPrefix(facts, run)).toBeGreaterThanOrEqual(run.acknowledged);
        }
      }
    }
  });
});
