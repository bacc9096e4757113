import { createServer, type Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Links } from '../../src/cluster/links.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

/** Replicas that echo: what comes back has gone both ways. */
interface Echo {
  readonly name: string;
  readonly address: string;
  readonly server: Server;
}

let links: Links;
let echoes: Echo[] = [];
let sockets: Socket[] = [];

async function echo(name: string): Promise<Echo> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const found = { name, address: `127.0.0.1:${port}`, server };
  echoes.push(found);
  return found;
}

/** A connection, and what it has heard. */
class Probe {
  readonly name: string;
  readonly socket: Socket;
  heard = '';
  failed = false;

  constructor(name: string, address: string) {
    this.name = name;
    this.socket = new Socket().connect({ port: Number(address.split(':')[1]), host: '127.0.0.1' });
    sockets.push(this.socket);
    this.socket.on('data', (chunk: Buffer) => {
      this.heard += chunk.toString();
    });
    this.socket.on('error', () => {
      this.failed = true;
    });
  }
}

/** One connection for each ordered pair of replicas, `n1>n2`, and from each place of clients. */
function probes(places: readonly string[] = []): Probe[] {
  const between = echoes.flatMap(({ name }) =>
    Object.entries(links.routesOf(name))
      .filter(([to]) => echoes.some((known) => known.name === to))
      .map(([to, address]) => new Probe(`${name}>${to}`, address)),
  );
  const outside = places.flatMap((place) =>
    echoes.map(({ name, address }) => new Probe(`${place}>${name}`, links.through(place, address))),
  );
  return [...between, ...outside];
}

/** Sends on all; gives the names of those from which it came back, when these and no others are there. */
async function expectBack(all: readonly Probe[], expected: readonly string[]): Promise<void> {
  const before = new Map(all.map((probe) => [probe, probe.heard.length]));
  for (const probe of all) probe.socket.write('x');
  const back = () =>
    all.filter((probe) => probe.heard.length > (before.get(probe) ?? 0)).map(({ name }) => name);
  await waitUntil(`echoes on ${expected.join(', ')}`, async () =>
    expected.every((name) => back().includes(name)) ? true : undefined,
  );
  expect(back().sort()).toEqual([...expected].sort());
}

const names = (all: readonly Probe[]): string[] => all.map(({ name }) => name);

beforeEach(async () => {
  [echoes, sockets] = [[], []];
  links = new Links(['n1', 'n2', 'n3', 'n4']);
  for (const name of ['n1', 'n2', 'n3']) await links.addReplica(await echo(name));
});

afterEach(async () => {
  await links.close();
  for (const socket of sockets) socket.destroy();
  for (const { server } of echoes) await new Promise((resolve) => server.close(resolve));
});

describe('links between replicas', () => {
  test('pass in all directions, until groups are partitioned, and again when healed', async () => {
    const all = probes();
    expect(all).toHaveLength(6);
    await expectBack(all, names(all));
    links.partition([['n1'], ['n2', 'n3']]);
    await expectBack(all, ['n2>n3', 'n3>n2']);
    await expectBack(probes(), ['n2>n3', 'n3>n2']);
    links.heal();
    await expectBack(all, names(all));
    expect(all.filter((probe) => probe.failed)).toEqual([]);
  });

  test('are all cut of one that is isolated, beside what is cut already', async () => {
    const all = probes();
    links.isolate('n1');
    await expectBack(all, ['n2>n3', 'n3>n2']);
    links.isolate('n2');
    await expectBack(all, []);
  });

  test('can be cut in one direction: who dials that way is not heard, nor answered who dials back', async () => {
    const all = probes();
    await expectBack(all, names(all));
    links.cut('n1', 'n2');
    await expectBack(
      all,
      names(all).filter((name) => !['n1>n2', 'n2>n1'].includes(name)),
    );
    links.heal();
    await waitUntil('both echoes', async () =>
      all.every((probe) => probe.heard === 'xx') ? true : undefined,
    );
  });

  test('can be reset instead', async () => {
    const all = probes();
    await expectBack(all, names(all));
    links.partition([['n1'], ['n2', 'n3']], { how: 'reset' });
    await waitUntil('resets', async () =>
      all.filter((probe) => probe.failed).length === 4 ? true : undefined,
    );
    await expectBack(
      all.filter((probe) => !probe.failed),
      ['n2>n3', 'n3>n2'],
    );
  });

  test('are there for a replica that comes later, and gone with one that leaves', async () => {
    const early = links.routesOf('n1').n4 ?? '';
    const refused = new Probe('n1>n4', early);
    await waitUntil('its reset', async () => (refused.failed ? true : undefined));
    await links.addReplica(await echo('n4'));
    const all = probes();
    expect(all).toHaveLength(12);
    await expectBack(all, names(all));
    links.partition([
      ['n1', 'n4'],
      ['n2', 'n3'],
    ]);
    await expectBack(all, ['n1>n4', 'n4>n1', 'n2>n3', 'n3>n2']);
    await links.removeReplica('n4');
    links.partition([['n1'], ['n2', 'n3']]);
    expect(links.routesOf('n4')).toEqual({});
  });
});

describe('places of clients', () => {
  test('reach every replica, or those of their group', async () => {
    for (const place of ['west', 'east', 'nowhere']) await links.addPlace(place);
    links.partition([
      ['n1', 'west'],
      ['n2', 'n3', 'east'],
    ]);
    const all = probes(['west', 'east', 'nowhere']);
    const outside = all.filter(({ name }) => !name.startsWith('n1') && !/^n[23]/.test(name));
    await expectBack(outside, [
      'west>n1',
      ...['east>n2', 'east>n3'],
      ...['nowhere>n1', 'nowhere>n2', 'nowhere>n3'],
    ]);
  });

  test('that come when a partition is there are outside of it', async () => {
    links.partition([['n1'], ['n2', 'n3']]);
    await links.addPlace('late');
    await expectBack(
      probes(['late']).filter(({ name }) => name.startsWith('late')),
      ['late>n1', 'late>n2', 'late>n3'],
    );
  });
});

describe('what makes no sense is refused', () => {
  test.each([
    ['an unknown place', () => links.isolate('n9'), /no place n9/],
    ['an unknown end', () => links.cut('n1', 'x'), /no place x/],
    ['a replica in no group', () => links.partition([['n1'], ['n2']]), /no group has n3/],
    [
      'a replica in two groups',
      () =>
        links.partition([
          ['n1', 'n2'],
          ['n2', 'n3'],
        ]),
      /one group/,
    ],
  ])('%s', (_, action, message) => {
    expect(action).toThrow(message);
  });
});
