import { createServer, type Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TcpProxy } from '../../src/cluster/tcp-proxy.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

/** Real sockets: a server that gathers what it gets, and clients that reach it through a proxy. */

let server: Server;
let proxy: TcpProxy;
let accepted: End[] = [];
const dialled: End[] = [];

/** One end of a connection, and what it was told. */
class End {
  readonly socket: Socket;
  text = '';
  ended = false;
  failure: string | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString();
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code ?? 'unknown';
    });
  }

  hears(text: string): Promise<unknown> {
    return until(`"${text}", heard "${this.text}"`, () => this.text === text);
  }
}

function until(what: string, holds: () => boolean): Promise<unknown> {
  return waitUntil(what, async () => (holds() ? true : undefined), {
    timeoutMs: 10_000,
    intervalMs: 2,
  });
}

function dial(): End {
  const port = Number(proxy.address.split(':')[1]);
  const end = new End(
    new Socket({ allowHalfOpen: true }).connect({ port, host: '127.0.0.1' }).setNoDelay(),
  );
  dialled.push(end);
  return end;
}

/** A connection that is known to work. */
async function connected(): Promise<[near: End, far: End]> {
  const count = accepted.length;
  const near = dial();
  near.socket.write('hello ');
  await until('the connection', () => accepted.length > count);
  const far = accepted[count] as End;
  await far.hears('hello ');
  return [near, far];
}

/** All that was under way before has come about: a connection beside the cut ones was there and back. */
async function roundTripElsewhere(): Promise<void> {
  const other = await TcpProxy.open(portOf(server));
  const count = accepted.length;
  const end = new End(
    new Socket().connect({ port: Number(other.address.split(':')[1]), host: '127.0.0.1' }),
  );
  end.socket.write('ping');
  await until('the other connection', () => accepted.length > count);
  await (accepted[count] as End).hears('ping');
  (accepted[count] as End).socket.write('pong');
  await end.hears('pong');
  await other.close();
  accepted = accepted.filter((_, i) => i !== count);
}

function portOf(listening: Server): number {
  const address = listening.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

beforeEach(async () => {
  accepted = [];
  dialled.length = 0;
  server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(new End(socket)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  proxy = await TcpProxy.open(portOf(server));
});

afterEach(async () => {
  await proxy.close();
  for (const end of [...accepted, ...dialled]) end.socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

describe('a link that is open', () => {
  test('passes bytes both ways, and ends each way for itself', async () => {
    const [near, far] = await connected();
    near.socket.end('and good bye');
    await far.hears('hello and good bye');
    await until('the end', () => far.ended);
    far.socket.end('answer after that');
    await near.hears('answer after that');
    await until('the connection to be forgotten', () => proxy.connections === 0);
    expect([near.failure, far.failure]).toEqual([null, null]);
  });

  test('passes on more than any buffer holds, to one who reads late', async () => {
    const [near, far] = await connected();
    far.socket.pause();
    const sent = 'x'.repeat(20_000_000);
    near.socket.write(sent);
    await roundTripElsewhere();
    far.socket.resume();
    await until('all of it', () => far.text.length === sent.length + 6);
  });

  test('passes on that a connection was reset', async () => {
    const [near, far] = await connected();
    far.socket.resetAndDestroy();
    await until('the reset', () => near.failure !== null);
    expect(near.failure).toBe('ECONNRESET');
  });
});

describe('a link that is cut', () => {
  test('holds what is sent, tells nobody, and delivers it in order when it is healed', async () => {
    const [near, far] = await connected();
    proxy.set({ up: 'cut', down: 'cut' });
    near.socket.write('one ');
    far.socket.write('two');
    await roundTripElsewhere();
    expect([near.text, far.text]).toEqual(['', 'hello ']);
    expect([near.ended, near.failure, far.ended, far.failure]).toEqual([false, null, false, null]);
    proxy.set({ up: 'open', down: 'open' });
    near.socket.write('three');
    await far.hears('hello one three');
    await near.hears('two');
  });

  test('in one direction lets the other one pass', async () => {
    const [near, far] = await connected();
    proxy.set({ up: 'cut', down: 'open' });
    near.socket.write('lost');
    far.socket.write('passes');
    await near.hears('passes');
    await roundTripElsewhere();
    expect(far.text).toBe('hello ');
  });

  test('hides the end and the death of the other side until it is healed', async () => {
    const [near, far] = await connected();
    const [other, dead] = await connected();
    proxy.set({ up: 'cut', down: 'cut' });
    far.socket.end();
    dead.socket.resetAndDestroy();
    await roundTripElsewhere();
    expect([near.ended, other.ended, other.failure]).toEqual([false, false, null]);
    proxy.set({ up: 'open', down: 'open' });
    await until('the end', () => near.ended);
    other.socket.write('anybody there?');
    await until('the reset', () => other.failure !== null || other.socket.destroyed);
  });

  test.each([
    ['both directions', { up: 'cut', down: 'cut' }],
    ['one direction, since packets must go both ways', { up: 'open', down: 'cut' }],
  ] as const)('lets no new connection through: %s', async (_, gates) => {
    proxy.set(gates);
    const near = dial();
    near.socket.write('let me in');
    await roundTripElsewhere();
    expect(accepted).toEqual([]);
    expect([near.ended, near.failure]).toEqual([false, null]);
    proxy.set({ up: 'open', down: 'open' });
    await until('the connection', () => accepted.length === 1);
    await accepted[0]?.hears('let me in');
  });

  test('never shows the other side a connection that was given up meanwhile', async () => {
    proxy.set({ up: 'cut', down: 'cut' });
    const [ended, reset, patient] = [dial(), dial(), dial()];
    for (const end of [ended, reset, patient]) end.socket.write('me');
    await until('all three', () => proxy.connections === 3);
    ended.socket.end();
    reset.socket.resetAndDestroy();
    await until('the two to be forgotten', () => proxy.connections === 1);
    proxy.set({ up: 'open', down: 'open' });
    await until('the third', () => accepted.length === 1);
    await roundTripElsewhere();
    expect(accepted).toHaveLength(1);
    patient.socket.write(' still');
    await accepted[0]?.hears('me still');
  });
});

describe('a link that resets', () => {
  test('ends the connections that there are, and every new one', async () => {
    const [near, far] = await connected();
    proxy.set({ up: 'reset', down: 'open' });
    await until('both resets', () => near.failure !== null && far.failure !== null);
    const later = dial();
    await until('its reset', () => later.failure !== null);
    expect([near.failure, far.failure, later.failure]).toEqual(Array(3).fill('ECONNRESET'));
    expect(accepted).toHaveLength(1);
  });
});

describe('a link to nowhere', () => {
  test('resets, until there is a place to go to', async () => {
    proxy.target = null;
    const early = dial();
    await until('its reset', () => early.failure !== null);
    proxy.target = portOf(server);
    await connected();
  });
});

describe('the end', () => {
  test('resets what is open and what waits', async () => {
    const [near, far] = await connected();
    proxy.set({ up: 'cut', down: 'cut' });
    const waiting = dial();
    waiting.socket.write('x');
    await until('it to wait', () => proxy.connections === 2);
    await proxy.close();
    await until('resets', () => [near, far, waiting].every((end) => end.failure !== null));
    proxy = await TcpProxy.open(null);
  });
});

describe('a link that is bad', () => {
  const OPEN = { up: 'open', down: 'open' } as const;

  test('passes everything in order however much later each piece is', async () => {
    const [near, far] = await connected();
    proxy.set({ ...OPEN, upShape: { delayMs: 5, jitterMs: 40, lossChance: 0.05 } });
    let sent = '';
    for (let i = 0; i < 100; i += 1) {
      near.socket.write(`${i},`);
      sent += `${i},`;
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await far.hears(`hello ${sent}`);
    near.socket.end();
    await until('the end', () => far.ended);
  });

  test('takes as long as its bytes need', async () => {
    const [near, far] = await connected();
    proxy.set({ ...OPEN, upShape: { bytesPerSecond: 1_000_000 } });
    const startedMs = performance.now();
    near.socket.write('x'.repeat(300_000));
    await until('all of it', () => far.text.length === 300_006);
    expect(performance.now() - startedMs).toBeGreaterThan(200);
  });

  test('turns bits over in what passes, and in nothing else', async () => {
    const [near, far] = await connected();
    proxy.set({ ...OPEN, upShape: { corruptChance: 1 } });
    near.socket.write('aaaa');
    await until('what was sent', () => far.text.length === 10);
    expect(far.text).not.toBe('hello aaaa');
    far.socket.write('back');
    await near.hears('back');
    proxy.set(OPEN);
    near.socket.write('bbbb');
    await until('the rest', () => far.text.endsWith('bbbb'));
  });

  test('that is half open passes nothing more on what there was, also when it is mended, and takes new connections then', async () => {
    const [near, far] = await connected();
    proxy.set({ up: 'half-open', down: 'half-open' });
    near.socket.write('lost');
    proxy.set(OPEN);
    near.socket.write('lost, too');
    const [again, there] = await connected();
    again.socket.write('heard');
    await there.hears('hello heard');
    expect([far.text, far.ended, near.ended, near.failure]).toEqual(['hello ', false, false, null]);
  });
});
