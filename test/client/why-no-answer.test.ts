import { describe, expect, test } from 'vitest';
import { Harness } from './support/harness.js';

describe('a call without an answer says of each endpoint what is known', () => {
  test('that replicas answer and know no leader, and which does not answer', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.replica('n3').condition = 'refuses';
    h.cluster.elect(null);
    await h.clock.advance(3000);
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 1500 }));
    expect(error).toMatchObject({ code: 'NO_QUORUM', outcome: 'not-applied' });
    expect(error.message).toContain('n1 at 10.0.0.1:7001: answers, knows no leader');
    expect(error.message).toContain('n2 at 10.0.0.2:7001: answers, knows no leader');
    expect(error.message).toContain('10.0.0.3:7001: ECONNREFUSED');
    expect(error.message).not.toContain('no answer yet');
  });

  test('that one names another as leader, which was asked and is silent', async () => {
    const h = new Harness();
    h.cluster.leader = 'n2';
    h.cluster.replica('n2').condition = 'hangs';
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'] });
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 800 }));
    expect(error.code).toBe('NO_QUORUM');
    expect(error.message).toContain('n1 at 10.0.0.1:7001: answers, says that n2 leads');
    expect(error.message).toContain('10.0.0.2:7001: asked, no answer yet');
  });

  test('that it was not asked', async () => {
    const h = new Harness();
    h.cluster.leader = null;
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'] });
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 100 }));
    expect(error.code).toBe('NO_QUORUM');
    expect(error.message).toContain('n1 at 10.0.0.1:7001: answers, knows no leader');
    expect(error.message).toContain('10.0.0.2:7001: not asked');
  });
});
