import { describe, expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import type { WriteOperation } from '../../src/base/operation.js';
import { packCommand } from '../../src/statemachine/command.js';
import { decodeAliasRecord, decodeBundleRecord } from '../../src/statemachine/procedure-record.js';
import { splitReference } from '../../src/statemachine/procedures.js';
import type { StateMachineOptions } from '../../src/statemachine/state-machine.js';
import { deploy, hashOf } from './call-records.js';
import { say, sayAll, text } from './operations.js';
import { batch, brief, bytes, put, Replica, session } from './replica.js';

const A = hashOf('aaaa1111');
const B = hashOf('bbbb2222');
const C = hashOf('cccc3333');

function move(
  name: string,
  hash: string,
  more: { readonly alias?: string; readonly expected?: string | null } = {},
): WriteOperation {
  const { alias = 'prod', expected = null } = more;
  return { type: 'alias-set', name, alias, hash, expected };
}

function remove(name: string, alias = 'prod'): WriteOperation {
  return { type: 'alias-remove', name, alias };
}

/** What it stands for, in a few words. */
function resolved(replica: Replica, reference: string): string | null {
  const found = replica.machine.resolveProcedure(reference);
  return found === null ? null : `${found.name}:${found.mode} ${found.hash.slice(0, 4)}`;
}

/** Each alias with the codes that it has stood for, the present one first. */
function aliases(replica: Replica): string[] {
  return replica.machine.procedures().map(({ name, alias, mode, versions }) => {
    const hashes = versions.map(({ hash, sinceMs }) => `${hash.slice(0, 1)}${sinceMs}`);
    return `${name}@${alias}:${mode} ${hashes.join(' ')}`;
  });
}

/** The codes that the store has. */
function bundles(replica: Replica): string[] {
  const keys = replica.store.keys().filter((key) => key.startsWith('b'));
  const hashes = [A, B, C].filter((hash) => replica.machine.procedureCode(hash) !== null);
  expect(keys).toEqual(hashes.map((hash) => `b${hash}`).sort());
  return hashes.map((hash) => hash.slice(0, 1)).sort();
}

async function start(options: StateMachineOptions = {}): Promise<Replica> {
  return Replica.start(options);
}

describe('code that is deployed', () => {
  test('is there under its hash, and its procedures stand for it under the alias', async () => {
    const replica = await start();
    const said = await replica.doAt(
      7,
      deploy(A, ['transfer', 'balance:read'], { code: 'return {}; // é' }),
      put('x', ''),
    );
    expect(sayAll(said)).toEqual(['done@0', 'put@1']);
    expect(text(replica.machine.procedureCode(A) ?? bytes('none'))).toBe('return {}; // é');
    expect(aliases(replica)).toEqual(['balance@prod:read a7', 'transfer@prod:cp a7']);
    expect(replica.machine.procedureCode(B)).toBeNull();
  });

  test('under another alias leaves the first as it is', async () => {
    const replica = await start();
    await replica.doAt(1, deploy(A, ['p']));
    await replica.doAt(2, deploy(B, ['p', 'q:ap'], { alias: 'next' }));
    expect(aliases(replica)).toEqual(['p@next:cp b2', 'p@prod:cp a1', 'q@next:ap b2']);
    expect(bundles(replica)).toEqual(['a', 'b']);
  });

  test('again changes nothing, but for aliases that do not stand for it', async () => {
    const replica = await start();
    await replica.doAt(1, deploy(A, ['p', 'q']));
    await replica.doAt(2, deploy(B, ['p']), deploy(A, ['p', 'q']), deploy(A, ['p', 'q']));
    expect(aliases(replica)).toEqual(['p@prod:cp a2 b2', 'q@prod:cp a1']);
  });

  test('is replaced by later code, for its procedures only', async () => {
    const replica = await start();
    await replica.doAt(1, deploy(A, ['p', 'q']));
    await replica.doAt(2, deploy(B, ['p:read']));
    expect(aliases(replica)).toEqual(['p@prod:read b2 a1', 'q@prod:cp a1']);
  });
});

describe('a reference', () => {
  /** `p` stands for A, and under `next` for B. */
  async function deployed(): Promise<Replica> {
    const replica = await start();
    await replica.do(deploy(A, ['p', 'q:read']), deploy(B, ['p:ap'], { alias: 'next' }));
    return replica;
  }

  test.each([
    ['p', 'p:cp aaaa'],
    ['p@prod', 'p:cp aaaa'],
    ['q', 'q:read aaaa'],
    ['p@next', 'p:ap bbbb'],
    [`p@${A}`, 'p:cp aaaa'],
    [`p@${B}`, 'p:ap bbbb'],
    ['p@bbbb2222', 'p:ap bbbb'],
    ['p@bbbb22220', 'p:ap bbbb'],
    ['p@bbbb222', null],
    ['p@BBBB2222', null],
    ['p@bbbb2223', null],
    [`p@${B}0`, null],
    ['q@next', null],
    ['q@bbbb2222', null],
    ['p@', null],
    ['p@other', null],
    ['p@prod@x', null],
    ['r', null],
    ['', null],
    ['@prod', null],
  ])('%j stands for %j', async (reference, expected) => {
    const replica = await deployed();
    expect(resolved(replica, reference)).toBe(expected);
    await replica.restart();
    expect(resolved(replica, reference)).toBe(expected);
  });

  test('to the beginning of two hashes stands for neither', async () => {
    const replica = await start();
    const [one, two] = [hashOf('12345678a'), hashOf('12345678b')];
    await replica.do(deploy(one, ['p']), deploy(two, ['p']));
    expect(resolved(replica, 'p@12345678')).toBeNull();
    expect(resolved(replica, 'p@12345678a')).toBe('p:cp 1234');
    await replica.do(remove('p'), deploy(one, ['p']));
    expect(resolved(replica, 'p@12345678')).toBe('p:cp 1234');
  });

  test('to an alias that could be a hash is to the alias', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']), deploy(B, ['p'], { alias: 'aaaa1111' }));
    expect(resolved(replica, 'p@aaaa1111')).toBe('p:cp bbbb');
  });

  test('is divided at the first @', () => {
    expect(splitReference('a')).toEqual(['a', 'prod']);
    expect(splitReference('a@b@c')).toEqual(['a', 'b@c']);
  });
});

describe('an alias', () => {
  test('is moved to code that is there, and back', async () => {
    const replica = await start();
    await replica.doAt(1, deploy(A, ['p']));
    await replica.doAt(2, deploy(B, ['p']));
    await replica.doAt(3, move('p', A));
    expect(aliases(replica)).toEqual(['p@prod:cp a3 b2']);
    await replica.doAt(4, move('p', A), move('p', B), move('p', C, { alias: 'new' }));
    expect(aliases(replica)).toEqual(['p@prod:cp b4 a3']);
    await replica.doAt(5, move('p', A, { alias: 'new' }));
    expect(aliases(replica)).toEqual(['p@new:cp a5', 'p@prod:cp b4 a3']);
    expect(resolved(replica, 'p')).toBe('p:cp bbbb');
  });

  test('is moved only if it stands for what was expected', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']), deploy(B, ['p'], { alias: 'next' }));
    const said = await replica.do(
      move('p', B, { expected: B }),
      move('p', B, { expected: A.slice(0, 12) }),
      move('p', B, { expected: A, alias: 'other' }),
      move('p', B, { expected: A }),
      move('p', A, { expected: A }),
    );
    const no = 'CONDITION_FAILED';
    expect(sayAll(said)).toEqual([no, no, no, 'done@0', no]);
    expect(said[0]).toMatchObject({ details: { current: A } });
    expect(said[2]).toMatchObject({ details: { current: null } });
    expect(aliases(replica)).toEqual(['p@next:cp b0', 'p@prod:cp b0 a0']);
  });

  test('is moved only to code that has the procedure', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']), deploy(B, ['q']));
    const said = await replica.do(move('p', B), move('p', C), move('p', A.slice(0, 12)));
    expect(sayAll(said)).toEqual(Array(3).fill('PROCEDURE_NOT_FOUND'));
    expect(aliases(replica)).toEqual(['p@prod:cp a0', 'q@prod:cp b0']);
  });

  test('remembers as many codes as aliasHistoryMax, each once', async () => {
    const replica = await start({ aliasHistoryMax: 2 });
    await replica.doAt(1, deploy(A, ['p']));
    await replica.doAt(2, deploy(B, ['p']));
    expect(bundles(replica)).toEqual(['a', 'b']);
    await replica.doAt(3, move('p', A));
    await replica.doAt(4, deploy(C, ['p']));
    expect(aliases(replica)).toEqual(['p@prod:cp c4 a3']);
    expect(bundles(replica)).toEqual(['a', 'c']);
    expect(sayAll(await replica.doAt(5, move('p', B), move('p', A)))).toEqual([
      'PROCEDURE_NOT_FOUND',
      'done@0',
    ]);
    expect(aliases(replica)).toEqual(['p@prod:cp a5 c4']);
  });

  test('that is removed is gone with its history', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']), deploy(B, ['p']), deploy(A, ['p'], { alias: 'old' }));
    const said = await replica.do(remove('p'), remove('p'), remove('q'), remove('p', 'new'));
    const none = 'PROCEDURE_NOT_FOUND';
    expect(sayAll(said)).toEqual(['done@0', none, none, none]);
    expect(said[1]).toMatchObject({ details: { procedure: 'p@prod' } });
    expect(aliases(replica)).toEqual(['p@old:cp a0']);
    expect(bundles(replica)).toEqual(['a']);
    expect([resolved(replica, 'p'), resolved(replica, `p@${B}`)]).toEqual([null, null]);
    expect(replica.store.keys().filter((key) => key.startsWith('p'))).toEqual(['pp@old']);
  });

  test('is listed by its name, then by itself', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['ab'], { alias: 'c' }));
    await replica.do(deploy(A, ['a', 'b'], { alias: 'z' }), deploy(A, ['a'], { alias: 'bc' }));
    const listed = ['a@bc:cp a0', 'a@z:cp a0', 'ab@c:cp a0', 'b@z:cp a0'];
    expect(aliases(replica)).toEqual(listed);
    await replica.restart();
    expect(aliases(replica)).toEqual(listed);
  });
});

describe('code that nothing refers to', () => {
  test('is removed with the last alias that has stood for it', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p', 'q']), deploy(A, ['p'], { alias: 'next' }));
    for (const [operation, left] of [
      [remove('p'), ['a']],
      [remove('p', 'next'), ['a']],
      [remove('q'), []],
    ] as const) {
      await replica.do(operation);
      expect(bundles(replica)).toEqual(left);
    }
    expect(await replica.do(deploy(A, ['p']))).toEqual([{ type: 'done', revision: 0 }]);
    expect(bundles(replica)).toEqual(['a']);
  });

  test('is not there when it came and went with one entry', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']), remove('p'), deploy(B, ['p']), remove('p'));
    expect(bundles(replica)).toEqual([]);
    await replica.do(deploy(A, ['p']));
    await replica.do(remove('p'), deploy(A, ['p']));
    expect(bundles(replica)).toEqual(['a']);
    await replica.restart();
    expect(bundles(replica)).toEqual(['a']);
  });
});

describe('the bounds', () => {
  const no = 'PROCEDURES_TOO_MANY';

  test('of bundles: beyond bundlesMax no other code', async () => {
    const replica = await start({ bundlesMax: 2 });
    const said = await replica.do(
      ...[deploy(A, ['p']), deploy(B, ['q']), deploy(C, ['r']), deploy(A, ['p'], { alias: 'x' })],
      ...[remove('q'), deploy(C, ['r'])],
    );
    expect(sayAll(said)).toEqual(['done@0', 'done@0', no, 'done@0', 'done@0', 'done@0']);
    expect(said[2]).toMatchObject({ details: { limit: 2 } });
    expect(aliases(replica)).toEqual(['p@prod:cp a0', 'p@x:cp a0', 'r@prod:cp c0']);
  });

  test('of bytes: all codes together are no larger than bundlesBytesMax, after a restart too', async () => {
    const replica = await start({ bundlesBytesMax: 10 });
    const sized = (hash: string, name: string, bytes: number) =>
      deploy(hash, [name], { code: 'x'.repeat(bytes) });
    const said = await replica.do(sized(A, 'p', 6), sized(B, 'q', 5), sized(B, 'q', 4));
    expect(sayAll(said)).toEqual(['done@0', no, 'done@0']);
    await replica.restart();
    const more = await replica.do(
      ...[sized(C, 'r', 1), sized(A, 's', 6), remove('q'), sized(C, 'r', 5), sized(C, 'r', 4)],
    );
    expect(sayAll(more)).toEqual([no, 'done@0', 'done@0', no, 'done@0']);
  });

  test('of aliases: beyond aliasesMax no others, those that are there may be moved', async () => {
    const replica = await start({ aliasesMax: 3 });
    const said = await replica.do(
      deploy(A, ['p', 'q']),
      deploy(B, ['p', 'q', 'r', 's']),
      deploy(B, ['p', 'q', 'r', 'r']),
      move('p', A, { alias: 'x' }),
      move('p', A),
      deploy(C, ['p'], { alias: 'y' }),
      remove('r'),
      move('p', A, { alias: 'x' }),
    );
    const done = 'done@0';
    expect(sayAll(said)).toEqual([done, no, done, no, done, no, done, done]);
    expect(said[1]).toMatchObject({ details: { limit: 3 } });
    // What is refused has brought no code.
    expect(bundles(replica)).toEqual(['a', 'b']);
    expect(aliases(replica)).toEqual(['p@prod:cp a0 b0', 'p@x:cp a0', 'q@prod:cp b0 a0']);
  });
});

describe('the registry', () => {
  test('comes back as it was after a restart at every place', async () => {
    const replica = await start({ aliasHistoryMax: 2, bundlesMax: 3 });
    const steps: readonly (readonly WriteOperation[])[] = [
      [deploy(A, ['p', 'q:read'])],
      [deploy(B, ['p']), put('x', '')],
      [move('p', A), deploy(C, ['p'], { alias: 'next' })],
      [deploy(C, ['p']), remove('q')],
      [remove('p', 'next'), move('p', A, { expected: C })],
    ];
    const states: string[][] = [];
    for (const [n, operations] of steps.entries()) {
      await replica.doAt(n, ...operations);
      states.push([...aliases(replica), ...bundles(replica)]);
    }
    const { stateHash } = replica.machine;
    const pairs = replica.store.pairs();
    for (let index = 0; index <= replica.log.length; index += 1) {
      await replica.restart(index);
      expect(replica.machine.stateHash).toBe(stateHash);
      expect(replica.store.pairs()).toEqual(pairs);
      expect([...aliases(replica), ...bundles(replica)]).toEqual(states.at(-1));
    }
    expect(states.at(-1)).toEqual(['p@prod:cp a4 c3', 'a', 'c']);
  });

  test('is not changed by commands of an older version: these operations are unreadable there', async () => {
    const replica = await start();
    await replica.do(deploy(A, ['p']));
    const send = (name: string, operation: WriteOperation) =>
      batch({ sessionId: session(name), operations: [put(name, ''), operation] });
    const batches = [
      send('a', deploy(B, ['p'])),
      send('b', move('p', A, { alias: 'x' })),
      send('c', remove('p')),
    ];
    const refused = Array(3).fill('FRAME_INVALID not-applied');
    expect((await replica.run({ batches }, 3)).map(brief)).toEqual(refused);
    expect(replica.entry('command', packCommand({ timeMs: 0, batches })).map(brief)).toEqual(
      refused,
    );
    expect(aliases(replica)).toEqual(['p@prod:cp a0']);
    expect(await replica.items()).toEqual([]);
    expect((await replica.run({ batches: [send('d', remove('p'))] }, 4)).map(brief)).toEqual([
      'put@1 {"type":"done","revision":1}',
    ]);
  });

  test('is no part of a transaction', async () => {
    const replica = await start();
    const inside = { type: 'txn', compares: [], success: [deploy(A, ['p'])], failure: [] };
    const answers = await replica.run(
      { batches: [batch({ operations: [inside as unknown as WriteOperation] })] },
      4,
    );
    expect(answers.map(brief)).toEqual(['FRAME_INVALID not-applied']);
  });

  test.each([
    ['a bundle', () => decodeBundleRecord(pack([1, 0, [], 'text']))],
    ['a bundle of another format', () => decodeBundleRecord(pack([2, 0, [], Buffer.of(1)]))],
    ['a bundle that is cut', () => decodeBundleRecord(Buffer.of(0x94, 1))],
    ['an alias', () => decodeAliasRecord(pack([1, ['hash', 'time']]))],
    ['an alias for nothing', () => decodeAliasRecord(pack([1, []]))],
    ['an alias of another format', () => decodeAliasRecord(pack([2, ['hash', 0]]))],
  ])('does not open with a damaged record of %s', (_what, decode) => {
    expect(decode).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });

  test('says of one alias what it is', async () => {
    const replica = await start();
    const [done] = await replica.doAt(9, deploy(A, ['p:ap']));
    expect(say(done)).toBe('done@0');
    expect(replica.machine.procedures()).toEqual([
      { name: 'p', alias: 'prod', mode: 'ap', trigger: null, versions: [{ hash: A, sinceMs: 9 }] },
    ]);
  });
});
