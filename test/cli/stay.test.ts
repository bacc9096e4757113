import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FakeStore, fakeStatus, input, run } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
  await store.run(['put', 'a', '1']);
});

const at = (...names: readonly string[]) => {
  const { endpoints } = store.h.cluster;
  return ['--endpoints', names.map((name) => endpoints[Number(name.slice(1)) - 1]).join()];
};

describe('--stay', () => {
  test.each(['any', 'ap-local', 'bounded:1m'])(
    'asks the replica that is named, at %s; without it the leader answers',
    async (level) => {
      for (const name of ['n2', 'n3']) {
        const args = ['get', 'a', '--consistency', level, ...at(name)];
        expect(await store.json([...args, '--stay'])).toMatchObject({ meta: { replica: name } });
        expect(await store.json(args)).toMatchObject({ meta: { replica: 'n1' } });
      }
    },
  );

  test('asks the first that answers, and is unavailable when none of them does', async () => {
    const [, second, third] = store.h.cluster.replicas;
    if (second === undefined || third === undefined) throw new Error('three replicas');
    second.condition = 'refuses';
    const args = ['get', 'a', '--stay', '--consistency', 'any', '--timeout', '1s'];
    const answer = await store.json([...args, ...at('n2', 'n3')]);
    expect(answer).toMatchObject({ meta: { replica: 'n3' } });
    third.condition = 'refuses';
    const { exit, stdout } = await store.run([...args, ...at('n2', 'n3')]);
    expect({ exit, stdout }).toEqual({ exit: 5, stdout: '' });
  });

  test('a write is refused by one that does not lead, and the hint names the flag', async () => {
    const fake = new FakeStore();
    fake.statuses.set('n2:1', fakeStatus({ replica: 'n2' }));
    fake.onPut = () => {
      throw new BalsaError('NOT_LEADER', 'n2 does not lead', { outcome: 'not-applied' });
    };
    const args = ['put', 'a', '2', '--stay', '--endpoints', 'n2:1'];
    const { exit, stdout, stderr } = await run(args, { store: fake });
    expect({ exit, stdout }).toEqual({ exit: 5, stdout: '' });
    expect(stderr).toContain('error NOT_LEADER');
    expect(stderr).toContain('try: the same without --stay');
  });

  test('holds for all commands of a shell', async () => {
    const args = ['shell', '--stay', '-o', 'json', '--consistency', 'any', ...at('n3')];
    const { stdout } = await store.run(args, { stdin: input('get a\n') });
    expect(JSON.parse(stdout)).toMatchObject({ meta: { replica: 'n3' } });
  });
});
