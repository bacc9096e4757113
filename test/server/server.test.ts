import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/base/checksum.js';
import { connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { dial } from '../../src/rpc/channel.js';
import { packClientFrame } from '../../src/rpc/client-frames.js';
import { CLIENT_STREAM_PATH } from '../../src/rpc/protocol.js';
import { unpackReplicaFrame } from '../../src/rpc/replica-frames.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { Servers } from './servers.js';

const asIs = (bytes: Buffer): Buffer => bytes;

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );
}

function meta(folder: string): { clusterId: unknown; formation: unknown[]; incarnation: string } {
  return JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));
}

/** A status request in six bytes, so often: more than any client asks for in one frame. */
function frameOfStatusRequests(count: number): Buffer {
  const head = Buffer.from([0x92, 2, 0xdd, 0, 0, 0, 0]);
  head.writeUInt32BE(count, 3);
  const content = Buffer.concat([head, Buffer.alloc(count * 3, Buffer.from([0x92, 1, 4]))]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([checksum, content]);
}

describe('servers in one process', () => {
  test('form a cluster, each with its members on disk, and serve; started again they go on', async () => {
    await using servers = await Servers.reserve(3);
    const first = await servers.startAll();
    await waitUntil('all formed', async () =>
      first.every((server) => server.status().clusterId !== '') ? true : undefined,
    );
    const metas = first.map(({ name }) => meta(join(servers.folder, name)));
    expect(new Set(metas.map((m) => m.clusterId)).size).toBe(1);
    {
      await using db = await connect({ endpoints: Object.values(servers.members) });
      await db.put('k', 'v');
    }
    await Promise.all(first.map((server) => server.close()));
    expect(await Promise.all(first.map((server) => server.stopped))).toEqual([null, null, null]);
    await servers.startAll();
    await using db = await connect({ endpoints: Object.values(servers.members) });
    expect((await db.get('k'))?.value?.toString()).toBe('v');
  });

  test('a leader that is closed hands over: another leads before it is gone', async () => {
    await using servers = await Servers.reserve(3);
    const lines: string[] = [];
    servers.log = pino({}, { write: (line) => void lines.push(line) });
    const names = Object.keys(servers.members);
    const all = await Promise.all(
      names.map((name) => servers.start(name, { electionTimeoutMs: 2000 })),
    );
    const leader = await servers.leader();
    await using db = await connect({ endpoints: Object.values(servers.members) });
    await db.put('k', 'v');
    await leader.close();
    const others = all.filter((server) => server !== leader).map((server) => server.status());
    expect(others.filter(({ role }) => role === 'leader')).toHaveLength(1);
    expect(lines.join('')).toContain('"reason":"timeout-now"');
    await db.put('k', 'w');
  });

  test('a member whose log and state were removed does not start: it may have voted', async () => {
    await using servers = await Servers.reserve(1);
    const [server] = await servers.startAll();
    await server?.close();
    const folder = join(servers.folder, 'n1');
    rmSync(join(folder, 'wal'), { recursive: true });
    rmSync(join(folder, 'state-1'), { recursive: true });
    expect(await codeOf(servers.start('n1'))).toBe('WAL_CORRUPT');
    expect(readdirSync(folder).filter((name) => name === 'wal')).toEqual([]);
  });

  test('a first start that fails leaves a folder that can be used', async () => {
    await using servers = await Servers.reserve(1);
    await using other = await Servers.reserve(1);
    await other.startAll();
    const listen = other.members.n1 ?? '';
    expect(await codeOf(servers.start('n1', { listen }))).toBe('PORT_IN_USE');
    // As if it had ended before the log was made.
    const folder = join(servers.folder, 'n1');
    const { incarnation } = meta(folder);
    rmSync(join(folder, 'wal'), { recursive: true });
    await servers.start('n1');
    expect(meta(folder).incarnation).toBe(incarnation);
  });

  test('a taken port and a damaged folder are refused by code, and nothing is left locked', async () => {
    await using servers = await Servers.reserve(2);
    await using other = await Servers.reserve(1);
    await other.startAll();
    const taken = other.members.n1 ?? '';
    expect(await codeOf(servers.start('n1', { listen: taken }))).toBe('PORT_IN_USE');
    const alone = { n1: servers.members.n1 ?? '' };
    const server = await servers.start('n1', { members: alone });
    await server.close();
    writeFileSync(join(servers.folder, 'n1', 'meta.json'), '{');
    expect(await codeOf(servers.start('n1', { members: alone }))).toBe('STATE_CORRUPT');
  });

  test('one frame of a million requests ends its stream and nothing else', async () => {
    await using servers = await Servers.reserve(1);
    const [server] = await servers.startAll();
    const ended = new Promise<unknown>((resolve) => {
      const channel = dial({
        address: server?.address ?? '',
        path: CLIENT_STREAM_PATH,
        onFrame: (bytes) => {
          const frame = unpackReplicaFrame(bytes);
          if (frame.type === 'end') resolve(frame.error.code);
        },
        onClose: resolve,
      });
      const sessionId = Buffer.alloc(16, 7);
      channel.send(
        packClientFrame({
          type: 'hello',
          hello: { ...OWN_VERSIONS, clientName: 't', clusterId: null, sessionId },
        }),
      );
      channel.send(frameOfStatusRequests(1_000_000));
    });
    expect(await ended).toBe('FRAME_INVALID');
    expect(server?.status().role).toBe('leader');
  });

  test('that does not start lets all of its ports go', async () => {
    await using servers = await Servers.reserve(4);
    const { n1 = '', n2 = '', n3 = '', n4 = '' } = servers.members;
    // It waits for the others, and belongs to no cluster yet.
    await (await servers.start('n1', { members: { n1, n2, n3 } })).close();
    // What it is to write down when it forms one cannot be written.
    mkdirSync(join(servers.folder, 'n1', 'meta.json.new'));
    const alone = servers.start('n1', { members: { n1 }, metricsListen: n4 });
    expect(await codeOf(alone)).toBe('DATA_FOLDER_UNUSABLE');
    const [, port = ''] = n4.split(':');
    const probe = createServer();
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject).listen(Number(port), '127.0.0.1', resolve);
    });
    probe.close();
  });

  test('the health service says when requests can be served', async () => {
    await using servers = await Servers.reserve(1);
    const [server] = await servers.startAll();
    const client = new Client(server?.address ?? '', credentials.createInsecure());
    const check = (request: Buffer): Promise<string> =>
      new Promise((resolve) => {
        const path = '/grpc.health.v1.Health/Check';
        client.makeUnaryRequest(path, asIs, asIs, request, (error, answer) =>
          resolve(error === null ? (answer?.toString('hex') ?? '') : String(error.code)),
        );
      });
    // It leads, and a moment later it has confirmed what there is.
    await waitUntil('its readiness', async () =>
      (await check(Buffer.alloc(0))) === '0801' ? true : undefined,
    );
    expect(await check(Buffer.from('\x0a\x09readiness'))).toBe('0801');
    expect(await check(Buffer.from('\x0a\x08liveness'))).toBe('0801');
    expect(await check(Buffer.from('\x0a\x05other'))).toBe('5');
    expect(await check(Buffer.from([0xff, 0xff]))).toBe('5');
    const said: string[] = [];
    const watch = client.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      asIs,
      asIs,
      Buffer.alloc(0),
    );
    watch.on('error', () => {});
    const over = new Promise((resolve) => watch.once('close', resolve));
    watch.on('data', (bytes: Buffer) => said.push(bytes.toString('hex')));
    await waitUntil('the first word', async () => (said.length > 0 ? true : undefined));
    await server?.close();
    client.close();
    await over;
    expect(said).toEqual(['0801', '0802']);
  });

  test('one that waits for the others says so to clients', async () => {
    await using servers = await Servers.reserve(2);
    const server = await servers.start('n1');
    expect(server.status().role).toBe('forming, waits for n2');
    const connecting = connect({ endpoints: [server.address], timeoutMs: 500 });
    await expect(connecting).rejects.toThrow(/being formed: n1 waits for n2/);
  });
});
