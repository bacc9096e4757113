import { describe, expect, test } from 'vitest';
import type { AppendEntries, Entry, Message } from '../../src/raft/types.js';
import { MessageSender, NEWS_DELAY_MS } from '../../src/server/message-sender.js';
import { Scheduler } from './test-scheduler.js';

function setUp() {
  const scheduler = new Scheduler(1);
  const sent: { atMs: number; to: string; messages: readonly Message[] }[] = [];
  const sender = new MessageSender(
    scheduler.clock(() => true),
    { send: (to, messages) => void sent.push({ atMs: scheduler.nowMs, to, messages }) },
  );
  return { scheduler, sender, sent };
}

const ENTRY: Entry = { index: 8, term: 3, type: 'command', payload: new Uint8Array(1) };

function append(to: string, leaderCommit: number, entries: readonly Entry[]): AppendEntries {
  const prevLog = { index: 7, term: 3 };
  return { type: 'AppendEntries', from: 'n1', to, term: 3, prevLog, entries, leaderCommit };
}

const news = (to: string, leaderCommit: number): AppendEntries => append(to, leaderCommit, []);

function heartbeat(to: string): Message {
  return { type: 'Heartbeat', from: 'n1', to, term: 3, commit: 7, readRound: 0, leaseMs: 0 };
}

describe('messages of the consensus module', () => {
  test('of one turn go to each member together, at once', () => {
    const { sender, sent } = setUp();
    const toN2 = [append('n2', 7, [ENTRY]), heartbeat('n2')];
    const toN3 = [heartbeat('n3')];
    sender.send([toN2[0], toN3[0], toN2[1]].filter((message) => message !== undefined));
    expect(sent).toEqual([
      { atMs: 0, to: 'n2', messages: toN2 },
      { atMs: 0, to: 'n3', messages: toN3 },
    ]);
  });

  test('news of a commit waits a moment, and the newest is told', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 5), news('n3', 5)]);
    await scheduler.run(NEWS_DELAY_MS / 2);
    sender.send([news('n2', 6)]);
    expect(sent).toEqual([]);
    await scheduler.run(1000);
    expect(sent).toEqual([
      { atMs: NEWS_DELAY_MS, to: 'n2', messages: [news('n2', 6)] },
      { atMs: NEWS_DELAY_MS, to: 'n3', messages: [news('n3', 5)] },
    ]);
  });

  test('entries tell it in its place, to whom they are sent', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 7), news('n3', 7)]);
    sender.send([append('n2', 7, [ENTRY])]);
    await scheduler.run(1000);
    expect(sent).toEqual([
      { atMs: 0, to: 'n2', messages: [append('n2', 7, [ENTRY])] },
      { atMs: NEWS_DELAY_MS, to: 'n3', messages: [news('n3', 7)] },
    ]);
  });

  test('a heartbeat does not: it tells no more than what the member has said to have', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 7)]);
    sender.send([heartbeat('n2')]);
    await scheduler.run(1000);
    expect(sent.map(({ messages }) => messages)).toEqual([[heartbeat('n2')], [news('n2', 7)]]);
  });

  test('where entries tell it all no timer is left, and the next news waits as long', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 7)]);
    sender.send([append('n2', 7, [ENTRY])]);
    await scheduler.run(1);
    sender.send([news('n2', 8)]);
    await scheduler.run(1000);
    expect(scheduler.events).toBe(1);
    expect(sent.at(-1)).toEqual({ atMs: 1 + NEWS_DELAY_MS, to: 'n2', messages: [news('n2', 8)] });
  });

  test('what waits goes out at once where it must not wait, and nothing comes behind it', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 7), news('n3', 7)]);
    sender.flush();
    expect(sent.map(({ atMs, to }) => [atMs, to])).toEqual([
      [0, 'n2'],
      [0, 'n3'],
    ]);
    await scheduler.run(1000);
    expect(sent).toHaveLength(2);
  });

  test('what waits is dropped when it is stopped', async () => {
    const { scheduler, sender, sent } = setUp();
    sender.send([news('n2', 7)]);
    sender.stop();
    await scheduler.run(1000);
    expect(sent).toEqual([]);
    expect(scheduler.events).toBe(0);
  });
});
