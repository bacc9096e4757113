import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Checker, Verdict } from '../../jepsen-like/checkers/checker.js';
import { registerChecker } from '../../jepsen-like/checkers/register/registers.js';
import { strictChecker } from '../../jepsen-like/checkers/strict/strict-serializability.js';
import { fileHistory } from '../../jepsen-like/history/file-history.js';
import type { HistoryReader } from '../../jepsen-like/history/history-reader.js';
import { HistoryWriter } from '../../jepsen-like/history/history-writer.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { registerModel } from './reference-store.js';

const folder = mkdtempSync(join(tmpdir(), 'balsa-large-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const OPERATIONS = 105_000;

function write(name: string, operations: Iterable<HistoryOperation>): HistoryReader {
  const path = join(folder, name);
  using writer = new HistoryWriter(path);
  for (const one of operations) writer.write(one);
  return fileHistory(path);
}

const files = ((): { history: HistoryReader; watch: HistoryReader; changed: HistoryReader } => {
  const { history, watch } = registerModel({
    seed: 11,
    clients: 8,
    operations: OPERATIONS,
    unknownShare: 0.02,
    keys: 40,
  });
  // One read late in the history gets what the key held a thousand writes before.
  const at = history.findIndex(
    ({ type, f, value }, n) =>
      n > 170_000 && type === 'ok' && f === 'get' && typeof value === 'number',
  );
  const line = history[at] as HistoryOperation;
  const old = history.find(
    ({ type, f, key, value }, n) =>
      n > 140_000 && type === 'ok' && f === 'get' && key === line.key && typeof value === 'number',
  );
  const changed = history.with(at, { ...line, value: old?.value });
  return {
    history: write('history.jsonl', history),
    watch: write('watch.jsonl', watch),
    changed: write('changed.jsonl', changed),
  };
})();

/** The most that is on the heap while it is judged, beyond what there was, in megabytes. */
async function judgeWithin(
  checker: Checker,
  history: HistoryReader,
): Promise<{ verdict: Verdict; peakMegabytes: number }> {
  const before = process.memoryUsage().heapUsed;
  let peak = before;
  let read = 0;
  const watched: HistoryReader = {
    source: history.source,
    async *[Symbol.asyncIterator]() {
      for await (const operation of history) {
        read += 1;
        if (read % 5000 === 0) peak = Math.max(peak, process.memoryUsage().heapUsed);
        yield operation;
      }
    },
  };
  const verdict = await checker.check(watched, files.watch);
  return { verdict, peakMegabytes: (peak - before) / 1e6 };
}

describe('a history of more than a hundred thousand operations with unknown outcomes', () => {
  test('is judged linearizable in bounded memory', async () => {
    const { verdict, peakMegabytes } = await judgeWithin(
      registerChecker({ shardOperationsMax: 60_000 }),
      files.history,
    );
    expect(verdict.text).toContain('are linearizable');
    expect(verdict.operations).toBeGreaterThan(100_000);
    expect((verdict.details as { unknownOutcomes: number }).unknownOutcomes).toBeGreaterThan(500);
    expect(peakMegabytes).toBeLessThan(150);
  });

  test('of which one read is stale is not, and a few operations show it', async () => {
    const verdict = await registerChecker().check(files.changed);
    expect(verdict.valid).toBe(false);
    expect(verdict.smallest?.length).toBeLessThanOrEqual(8);
  });

  test('is judged strictly serializable by its revisions in bounded memory', async () => {
    const { verdict, peakMegabytes } = await judgeWithin(strictChecker(), files.history);
    expect(verdict).toMatchObject({ valid: true });
    expect(verdict.operations).toBeGreaterThan(100_000);
    expect(peakMegabytes).toBeLessThan(150);
  });
});
