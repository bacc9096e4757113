import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { callsOf } from '../../jepsen-like/checkers/calls.js';
import { fileHistory, readFaults } from '../../jepsen-like/history/file-history.js';
import { memoryHistory } from '../../jepsen-like/history/history-reader.js';
import { HistoryWriter } from '../../jepsen-like/history/history-writer.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { lines } from './histories.js';

const folder = mkdtempSync(join(tmpdir(), 'balsa-history-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function fileOf(text: string): string {
  files += 1;
  const path = join(folder, `history-${files}.jsonl`);
  writeFileSync(path, text);
  return path;
}

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
}

async function readAll(path: string): Promise<HistoryOperation[]> {
  return collect(fileHistory(path));
}

const GOOD = '{"process":1,"type":"invoke","f":"get","key":"x","time":5}';

describe('a file of a history', () => {
  test('gives back what was written, as often as it is read', async () => {
    const operation = fc.record(
      {
        process: fc.nat(),
        type: fc.constantFrom('invoke' as const, 'ok' as const, 'fail' as const, 'info' as const),
        f: fc.string({ unit: 'binary' }),
        time: fc.nat(),
        key: fc.string({ unit: 'binary' }),
        value: fc.jsonValue(),
        revision: fc.nat(),
      },
      { requiredKeys: ['process', 'type', 'f', 'time', 'key', 'revision'] },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (all) => {
        files += 1;
        const path = join(folder, `written-${files}.jsonl`);
        const written = all.map((one) => JSON.parse(JSON.stringify(one)) as HistoryOperation);
        using writer = new HistoryWriter(path);
        for (const one of written) writer.write(one);
        writer.close();
        expect(await readAll(path)).toEqual(written);
        expect(await readAll(path)).toEqual(written);
      }),
      { numRuns: 10 },
    );
  });

  test('is read across the ends of chunks, with characters of several bytes', async () => {
    const value = 'ß→𝄞'.repeat(30_000);
    const path = fileOf(`${JSON.stringify({ ...JSON.parse(GOOD), value })}\n\n${GOOD}`);
    const [first, second] = await readAll(path);
    expect(first?.value).toBe(value);
    expect(second).toEqual(JSON.parse(GOOD));
  });

  test.each([
    ['{"process":1,', 'not a line of JSON'],
    ['[1]', 'expected an object, found [1]'],
    ['{"type":"ok","f":"get","time":1}', '"process" is missing; expected a whole number from 0'],
    [
      '{"process":1.5,"type":"ok","f":"get","time":1}',
      '"process" must be a whole number from 0, found 1.5',
    ],
    [
      '{"process":1,"type":"okay","f":"get","time":1}',
      '"type" must be one of invoke, ok, fail, info, found "okay"',
    ],
    ['{"process":1,"type":"ok","f":"get"}', '"time" is missing'],
    ['{"process":1,"type":"ok","f":"get","time":-1}', '"time" must be nanoseconds'],
    ['{"process":1,"type":"ok","f":"get","time":1,"key":7}', '"key" must be text, found 7'],
    [
      '{"process":1,"type":"ok","f":"get","time":1,"revision":"3"}',
      '"revision" must be a whole number',
    ],
  ])('says in which line %s is wrong, and why', async (line, why) => {
    const path = fileOf(`${GOOD}\n${line}\n`);
    await expect(readAll(path)).rejects.toThrow(`${path}:2: `);
    await expect(readAll(path)).rejects.toThrow(why);
  });

  test('takes what other tools write for a missing key', async () => {
    expect(await readAll(fileOf(`${GOOD.replace('"x"', 'null')}\n`))).toEqual([
      { process: 1, type: 'invoke', f: 'get', time: 5 },
    ]);
  });

  test('that is not there is told by its name', async () => {
    await expect(readAll(join(folder, 'none.jsonl'))).rejects.toThrow('none.jsonl: cannot be read');
  });

  test('is not written over, and is whole after each flush', () => {
    files += 1;
    const path = join(folder, `flushed-${files}.jsonl`);
    using writer = new HistoryWriter(path);
    writer.write(JSON.parse(GOOD) as HistoryOperation);
    writer.flush();
    expect(readFileSync(path, 'utf8')).toBe(`${GOOD}\n`);
    expect(() => new HistoryWriter(path)).toThrow('EEXIST');
    writer.close();
    expect(() => writer.write(JSON.parse(GOOD) as HistoryOperation)).toThrow('is closed');
  });

  test('of faults is read as a list', () => {
    const fault = { time: 1, fault: 'kill', nodes: ['n1'], phase: 'begin' };
    expect(readFaults(fileOf(`${JSON.stringify(fault)}\n`))).toEqual([fault]);
    const bad = fileOf(`${JSON.stringify({ ...fault, phase: 'middle' })}\n`);
    expect(() => readFaults(bad)).toThrow(`${bad}:1: "phase" must be "begin" or "end"`);
  });
});

describe('the operations of a history', () => {
  async function callsIn(...history: HistoryOperation[]) {
    return collect(callsOf(memoryHistory(history, 'here')));
  }
  const line = (type: HistoryOperation['type'], time: number, f = 'put', process = 1) =>
    ({ process, type, f, time, value: 1 }) as const;

  test('are begins and ends put together; one without an end has an unknown outcome', async () => {
    const calls = await callsIn(
      line('invoke', 0),
      line('invoke', 1, 'get', 2),
      line('ok', 2, 'get', 2),
      line('info', 3),
      line('invoke', 4, 'put', 3),
    );
    expect(calls.map(({ f, outcome, begin, end }) => [f, outcome, begin, end])).toEqual([
      ['get', 'ok', 1, 2],
      ['put', 'info', 0, Number.POSITIVE_INFINITY],
      ['put', 'info', 4, Number.POSITIVE_INFINITY],
    ]);
  });

  test.each([
    [
      'one that is begun before the last has ended',
      [line('invoke', 0), line('invoke', 1)],
      'before put has ended',
    ],
    ['an end without a begin', [line('ok', 0)], 'which it has not begun'],
    [
      'an end of something else',
      [line('invoke', 0), line('ok', 1, 'get')],
      'which it has not begun',
    ],
    [
      'a process that goes on after info',
      [line('invoke', 0), line('info', 1), line('invoke', 2)],
      'needs a new number',
    ],
    ['a time that goes back', [line('invoke', 5), line('ok', 4)], 'time goes back'],
  ])('cannot be %s', async (_, history, why) => {
    await expect(callsIn(...history)).rejects.toThrow(`here, operation ${history.length}: `);
    await expect(callsIn(...history)).rejects.toThrow(why);
  });

  test('may stand alone when they were only seen', async () => {
    const calls = await callsIn({ process: 1, type: 'ok', f: 'event', key: 'x', time: 3 });
    expect(calls).toMatchObject([{ f: 'event', key: 'x', begin: 3, end: 3, outcome: 'ok' }]);
    expect(lines({ begin: 0, end: null, f: 'get' })).toHaveLength(1);
  });
});
