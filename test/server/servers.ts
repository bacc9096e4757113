import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { LIMITS } from '../../src/base/limits.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { ServerConfig } from '../../src/server/config.js';
import { type Server, startServer } from '../../src/server/server.js';

/** Servers of one cluster in this process, on free ports; all ends with it. */
export class Servers implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'balsa-servers-'));
  readonly members: Readonly<Record<string, string>>;
  log = pino({ level: 'silent' });
  readonly #running = new Set<Server>();

  static async reserve(count: number): Promise<Servers> {
    return new Servers(await freePorts(count));
  }

  private constructor(ports: readonly number[]) {
    this.members = Object.fromEntries(ports.map((port, i) => [`n${i + 1}`, `127.0.0.1:${port}`]));
  }

  config(name: string, change: Partial<ServerConfig> = {}): ServerConfig {
    const address = this.members[name] ?? '';
    return {
      name,
      cluster: 'test',
      listen: address,
      advertise: address,
      routes: {},
      members: this.members,
      dataFolder: join(this.folder, name),
      electionTimeoutMs: 300,
      heartbeatMs: 50,
      logLevel: 'silent',
      limits: LIMITS,
      join: false,
      reseed: false,
      electionPriority: 100,
      leaseReads: false,
      diskStallMs: 3000,
      metricsListen: '',
      unsafeFormats: '',
      unsafeFailpoints: '',
      unsafeDisk: '',
      ...change,
    };
  }

  async start(name: string, change: Partial<ServerConfig> = {}): Promise<Server> {
    const server = await startServer(this.config(name, change), this.log);
    this.#running.add(server);
    return server;
  }

  async startAll(): Promise<readonly Server[]> {
    const servers = await Promise.all(Object.keys(this.members).map((name) => this.start(name)));
    await this.leader();
    return servers;
  }

  /** Waits until one leads and has committed in its term. */
  leader(): Promise<Server> {
    return waitUntil('a leader', async () =>
      [...this.#running].find((s) => s.status().role === 'leader' && s.status().commitIndex > 0),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((server) => server.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
