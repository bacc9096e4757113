import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { startCommand } from '../../src/cli/start.js';
import type { ServerConfig } from '../../src/server/config.js';
import { FIELD_NAMES, FIELDS } from '../../src/server/config-fields.js';
import { environmentName } from '../../src/server/load-config.js';
import { fakeServer, fakeStatus, run } from './fakes.js';

const ARGS = ['start', '--name', 'n1', '--members', 'n1=127.0.0.1:7001,n2=127.0.0.1:7002'];
const never = new Promise<null>(() => {});

describe('start', () => {
  test('says in one line on stderr when it is ready, and ends cleanly at the first signal', async () => {
    const interruption = new AbortController();
    const configs: ServerConfig[] = [];
    let closed = 0;
    const result = await run([...ARGS, '--data', '/d', '--election-timeout', '1s'], {
      interrupted: interruption.signal,
      startServer: async (config) => {
        configs.push(config);
        setImmediate(() => interruption.abort());
        return fakeServer(never, () => {
          closed += 1;
        });
      },
    });
    expect(result).toMatchObject({ exit: 0, stdout: '' });
    expect(result.stderr).toBe(
      'balsa: n1 is ready at 127.0.0.1:7001, data in /d, members n1=127.0.0.1:7001,n2=127.0.0.1:7002\n' +
        'balsa: n1 stops\n',
    );
    expect(configs).toMatchObject([{ name: 'n1', dataFolder: '/d', electionTimeoutMs: 1000 }]);
    expect(closed).toBe(1);
  });

  test('with --join it says how it is let in; flags without a value are passed on', async () => {
    const interruption = new AbortController();
    const configs: ServerConfig[] = [];
    const args = ['start', '--name', 'n4', '--join', '--advertise', '10.0.0.4:7001', '--reseed'];
    const result = await run([...args, '--election-priority', '5'], {
      interrupted: interruption.signal,
      startServer: async (config) => {
        configs.push(config);
        setImmediate(() => interruption.abort());
        const role = 'joining, waits to be added (balsa cluster add)';
        return { ...fakeServer(never), name: 'n4', status: () => fakeStatus({ role }) };
      },
    });
    expect(configs).toMatchObject([
      { join: true, reseed: true, leaseReads: false, electionPriority: 5 },
    ]);
    expect(result.stderr).toContain(
      '; waits to be added (balsa cluster add)\nnext: balsa cluster add n4 10.0.0.4:7001\n',
    );
  });

  test('a replica that stops by itself ends it with its error, exit 1, without a stack', async () => {
    const failure = new BalsaError('DISK_FULL', 'no space left on /d');
    const result = await run(ARGS, {
      startServer: async () => fakeServer(Promise.resolve(failure)),
    });
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('error DISK_FULL: no space left on /d\ntry: free some space');
    expect(result.stderr).not.toContain('    at ');
  });

  test('a wrong configuration exits 2 and starts nothing', async () => {
    const result = await run(['start', '--name', 'N1', '--heartbeat', '5'], {});
    expect(result.exit).toBe(2);
    expect(result.stderr).toBe(
      [
        'error CONFIG_INVALID: 3 problems',
        '  --name: must be 1 to 32 characters of a-z, 0-9 and -, found "N1"',
        '  --heartbeat: must be a number and its unit, like 500ms, 5s or 2m, found "5"',
        '  --members: is needed (or BALSA_MEMBERS, or "members" in a --config file)',
        'try: balsa start --help lists the flags with their defaults',
        '',
      ].join('\n'),
    );
  });

  test('--print-config shows each value with its source and starts nothing', async () => {
    const env = { BALSA_CLUSTER: 'c1', BALSA_NAME: 'n2' };
    const text = await run([...ARGS, '--print-config'], { env });
    expect(text.exit).toBe(0);
    expect(text.stdout).toContain('name\tn1\t--name\ncluster\tc1\tBALSA_CLUSTER\n');
    expect(text.stdout).toContain('members\tn1=127.0.0.1:7001,n2=127.0.0.1:7002\t--members\n');
    expect(text.stdout).toContain('limits.keyBytesMax\t65536\tdefault\n');
    const json = await run([...ARGS, '--print-config', '-o', 'json'], { env });
    expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toEqual({
      field: 'name',
      value: 'n1',
      source: '--name',
    });
  });

  test('every field of the configuration has its flag, and the variable by the rule', () => {
    const command = startCommand({ io: {} as never, exit: 0, behindDashes: null });
    const flags = command.options.map((option) => option.name());
    for (const field of FIELD_NAMES) expect(flags).toContain(FIELDS[field].flag);
    expect(environmentName('election-timeout')).toBe('BALSA_ELECTION_TIMEOUT');
    const hidden = command.options.filter((option) => option.hidden).map((option) => option.name());
    expect(hidden).toEqual(['unsafe-failpoints', 'unsafe-formats', 'unsafe-disk']);
  });
});
