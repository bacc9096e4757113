import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { balsa, balsaHere, expectRefusal, temporaryFolder } from './support.js';

let cluster: LocalCluster;
let endpoints = '';

beforeAll(async () => {
  cluster = await LocalCluster.start({ cluster: 'first' });
  endpoints = cluster.endpoints.join(',');
});

afterEach(async () => {
  // Whatever was tried: the cluster serves as before.
  expect(cluster.running).toHaveLength(3);
  await using db = await cluster.connect();
  const { revision } = await db.put('alive', 'yes');
  expect(await db.get('alive')).toMatchObject({ modRevision: revision });
});

afterAll(() => cluster.close());

const at = (...args: string[]): string[] => ['--endpoints', endpoints, ...args];

/** Arguments of a member of the cluster, to be started where it must not. */
function memberArguments(name: string, folder: string, ...more: string[]): string[] {
  const members = cluster.replicas.map((replica) => `${replica.name}=${replica.address}`).join(',');
  return [
    ...['start', '--name', name, '--members', members],
    ...['--cluster', 'first', '--data', folder, ...more],
  ];
}

const aloneArguments = (port: number, folder: string, ...more: string[]): string[] => [
  ...['start', '--name', 's1', '--members', `s1=127.0.0.1:${port}`, '--data', folder, ...more],
];

describe('the command line refuses', () => {
  test.each([
    ['an unknown flag of start', ['start', '--nmae', 'n1'], 'nmae'],
    ['an unknown flag of put', ['put', '--bogus', 'a', 'b'], 'bogus'],
    ['an unknown command', ['frobnicate'], 'frobnicate'],
    ['a missing argument', ['get'], 'KEY'],
    ['a bad endpoint', ['--endpoints', 'nowhere', 'get', 'a'], 'nowhere'],
    ['a bad duration', ['--timeout', 'soon', 'get', 'a'], 'soon'],
    ['an even number of replicas', ['demo', '--replicas', '4'], '3, 5, 7 or 9'],
  ])('%s with code 2', async (_what, args, word) => {
    const run = await balsaHere(args);

    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(word);
  });

  test('a start without a name or members, naming all that is wrong, with code 2', async () => {
    const run = await balsa(['start', '--log-level', 'loud']);

    expectRefusal(run, { exit: 2, code: 'CONFIG_INVALID' });
    expect(run.stderr).toMatch(/--name[\s\S]*--members/);
    expect(run.stderr).toContain('loud');
  });

  test('an empty key with code 2', async () => {
    expectRefusal(await balsaHere(at('put', '', 'x')), { exit: 2, code: 'KEY_EMPTY' });
  });

  test('a value over the limit with code 2, and takes one at the limit', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'value');
    writeFileSync(file, Buffer.alloc(LIMITS.valueBytesMax + 1, 0x61));
    expectRefusal(await balsaHere(at('put', 'big', '--file', file)), {
      exit: 2,
      code: 'VALUE_TOO_LARGE',
    });

    writeFileSync(file, Buffer.alloc(LIMITS.valueBytesMax, 0x61));
    // How long it takes is the machine's matter.
    const put = await balsaHere(at('put', 'big', '--file', file, '--timeout', '60s'));
    expect(put).toMatchObject({ code: 0 });
  });

  test('a key over the limit with code 2', async () => {
    const run = await balsaHere(at('put', 'k'.repeat(64 * 1024 + 1), 'x'));

    expectRefusal(run, { exit: 2, code: 'KEY_TOO_LARGE' });
  });

  test('endpoints of which none answers with code 5, naming each', async () => {
    const [first, second] = await freePorts(2);
    const dead = `127.0.0.1:${first},127.0.0.1:${second}`;

    const run = await balsaHere(['--endpoints', dead, '--timeout', '1s', 'get', 'a']);

    expectRefusal(run, { exit: 5, code: 'UNREACHABLE' });
    expect(run.stderr).toContain(`127.0.0.1:${first}`);
    expect(run.stderr).toContain(`127.0.0.1:${second}`);
  });
});

describe('a replica refuses to start, with code 1,', () => {
  test('on a port that another process has', async () => {
    using folder = temporaryFolder();

    const run = await balsa(memberArguments('n1', join(folder.path, 'n1')));

    expectRefusal(run, { exit: 1, code: 'PORT_IN_USE' });
  });

  test('on a data folder that another replica uses', async () => {
    const [port] = await freePorts(1);
    const inUse = cluster.replica('n1').dataFolder;

    const run = await balsa(memberArguments('n1', inUse, '--listen', `127.0.0.1:${port}`));

    expectRefusal(run, { exit: 1, code: 'DATA_FOLDER_IN_USE' });
  });

  test('on the data folder of another cluster or another member', async () => {
    const folder = cluster.replica('n3').dataFolder;
    await cluster.stop('n3');

    const otherCluster = await balsa([...memberArguments('n3', folder), '--cluster', 'second']);
    const otherMember = await balsa([
      ...['start', '--name', 's1', '--members', `s1=${cluster.replica('n3').address}`],
      ...['--cluster', 'first', '--data', folder],
    ]);

    await cluster.start('n3');
    expectRefusal(otherCluster, { exit: 1, code: 'DATA_FOLDER_MISMATCH' });
    expect(otherCluster.stderr).toMatch(/"first"[\s\S]*"second"/);
    expectRefusal(otherMember, { exit: 1, code: 'DATA_FOLDER_MISMATCH' });
  });

  test('with a wiped data folder under a name that has voted', async () => {
    using folder = temporaryFolder();
    await cluster.stop('n3');

    const run = await balsa(memberArguments('n3', join(folder.path, 'fresh')));

    await cluster.start('n3');
    expectRefusal(run, { exit: 1, code: 'MEMBER_MISMATCH' });
  });

  // Root may write anywhere, so these are places where nobody can.
  test.each([
    ['below a regular file', (folder: string) => join(folder, 'file', 'data')],
    ['where the system keeps its own', () => '/proc/balsa'],
  ])('on a data folder %s', async (_where, place) => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, 'file'), '');
    const [port = 0] = await freePorts(1);

    const run = await balsa(aloneArguments(port, place(folder.path)));
    const demo = await balsa(['demo', '--no-stay', '--folder', place(folder.path)]);

    expectRefusal(run, { exit: 1, code: 'DATA_FOLDER_UNUSABLE' });
    expectRefusal(demo, { exit: 1, code: 'DATA_FOLDER_UNUSABLE' });
  });

  test('on an address that is not of this machine', async () => {
    using folder = temporaryFolder();
    const [port = 0] = await freePorts(1);

    const run = await balsa(
      aloneArguments(port, join(folder.path, 'data'), '--listen', `192.0.2.1:${port}`),
    );

    expectRefusal(run, { exit: 1, code: 'ADDRESS_UNUSABLE' });
  });
});
