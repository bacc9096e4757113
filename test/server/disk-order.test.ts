import { expect, test } from 'vitest';
import type { Message, Ready } from '../../src/raft/types.js';
import { DiskOrder } from '../../src/server/disk-order.js';
import type { LogStore } from '../../src/storage/log-store.js';
import {
  append,
  appended,
  entry,
  heartbeat,
  heartbeatReply,
  Member,
} from '../raft/node-fixture.js';

/** A disk that hangs until `go`. */
function hung() {
  const sent: Message[] = [];
  const waiting: ((error: null) => void)[] = [];
  const logStore: Pick<LogStore, 'append'> = { append: (_write, done) => void waiting.push(done) };
  const disk = new DiskOrder({
    logStore: logStore as LogStore,
    isStopped: () => false,
    send: (messages) => void sent.push(...messages),
    onPersisted: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  const carryOut = (ready: Ready): void => {
    sent.push(...ready.messages);
    if (ready.write === null) disk.sendBehind(ready.messagesAfterPersist);
    else disk.persist(ready.write, ready.messagesAfterPersist);
  };
  const go = (): Message[] => {
    sent.length = 0;
    for (const done of waiting.splice(0)) done(null);
    return sent;
  };
  return { carryOut, disk, go };
}

test('while a disk hangs, what waits for it does not grow with the questions of the leader', () => {
  const { carryOut, go } = hung();
  const member = new Member({ term: 1 });
  carryOut(member.receive(append({ term: 2, entries: [entry(1, 2)] })));
  for (let tick = 0; tick < 10_000; tick += 1) {
    carryOut(member.tick());
    carryOut(member.receive(heartbeat({ term: 2, readRound: tick })));
    carryOut(member.receive(append({ term: 2, prevLog: { index: 1, term: 2 } })));
    if (tick % 100 !== 0) continue;
    carryOut(member.receive(append({ term: 2, prevLog: { index: 7, term: 2 } })));
  }
  const answers = go();
  expect(answers.length).toBeLessThan(10);
  expect(answers).toContainEqual(
    heartbeatReply({ term: 2, from: 'n1', to: 'n2', readRound: 9999 }),
  );
  expect(answers).toContainEqual(appended({ term: 2, from: 'n1', to: 'n2', matchIndex: 1 }));
});

test('what says more than a later answer, or something else, or to another, is kept', () => {
  const { carryOut, disk, go } = hung();
  const member = new Member({ term: 1 });
  carryOut(member.receive(append({ term: 2, entries: [entry(1, 2)] })));
  go();
  carryOut(
    member.receive(append({ term: 2, prevLog: { index: 1, term: 2 }, entries: [entry(2, 2)] })),
  );
  const kept = [
    appended({ term: 2, to: 'n2', matchIndex: 9 }),
    appended({ term: 2, to: 'n2', matchIndex: 5 }),
    appended({ term: 2, to: 'n3', matchIndex: 5 }),
    appended({ term: 3, to: 'n2', matchIndex: 5 }),
    heartbeatReply({ term: 2, to: 'n2' }),
  ];
  disk.sendBehind(kept);
  // Of the one that the write brought, the first says more.
  expect(go()).toEqual(kept);
});
