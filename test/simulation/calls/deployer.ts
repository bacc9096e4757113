import { BalsaError } from '../../../src/base/errors.js';
import { UNAVAILABLE } from '../ordinary-errors.js';
import type { SideClient, TextClient } from '../side-client.js';
import type { CallLedger } from './call-ledger.js';
import { bundleOf, NATIVE_PROCEDURES } from './native-procedures.js';

const PAUSE_MS = 15_000;
const NAMES = Object.keys(NATIVE_PROCEDURES);

/** What it may be refused with. */
const REFUSED = new Set(['PROCEDURE_NOT_FOUND', 'CONDITION_FAILED', 'UPGRADE_PENDING']);

/** A client that deploys versions under load, goes back to earlier ones, and takes names away. */
export class Deployer {
  readonly #client: SideClient;
  readonly #ledger: CallLedger;
  readonly #who = 'deployer';
  #version = 0;
  isReady = false;

  constructor(client: SideClient, ledger: CallLedger) {
    this.#client = client;
    this.#ledger = ledger;
  }

  /** A version that was deployed, or may have been. */
  get someVersion(): number {
    return 1 + this.#client.random.int(Math.max(1, this.#version));
  }

  async work(db: TextClient): Promise<void> {
    while (!this.#client.isStopped && !(await this.#deploy(db, 'prod'))) {
      await this.#client.sleep(1000);
    }
    await this.#deploy(db, 'next');
    this.isReady = true;
    this.#client.repeat(PAUSE_MS, () => this.#step(db));
  }

  async #step(db: TextClient): Promise<void> {
    const dice = this.#client.random.int(10);
    const name = NAMES[this.#client.random.int(NAMES.length)] as string;
    if (dice < 4) await this.#deploy(db, 'prod');
    else if (dice < 6) await this.#deploy(db, 'next');
    else if (dice < 9) await this.#rollback(db, `${name}@prod`);
    else await this.#remove(db, `${name}@next`);
  }

  async #deploy(db: TextClient, alias: string): Promise<boolean> {
    this.#version += 1;
    const version = this.#version;
    const references = NAMES.map((name) => `${name}@${alias}`);
    const done = await this.#attempt({ what: 'deployed', references, version }, () =>
      db.procedures.deploy(bundleOf(version), { alias }),
    );
    return done;
  }

  async #rollback(db: TextClient, reference: string): Promise<void> {
    const version = this.someVersion;
    await this.#attempt({ what: 'rolled back', references: [reference], version }, () =>
      db.procedures.rollback(reference, { to: bundleOf(version).hash }),
    );
  }

  async #remove(db: TextClient, reference: string): Promise<void> {
    await this.#attempt({ what: 'removed', references: [reference], version: null }, () =>
      db.procedures.remove(reference),
    );
  }

  /** @returns whether it was done */
  async #attempt(
    change: { what: string; references: readonly string[]; version: number | null },
    ask: () => Promise<unknown>,
  ): Promise<boolean> {
    const { what, references, version } = change;
    const { coverage } = this.#client.world;
    const beginMs = this.#client.nowMs;
    const note = (endMs: number): void => {
      this.#ledger.deployments.push({ who: this.#who, references, version, beginMs, endMs });
    };
    try {
      await ask();
      note(this.#client.nowMs);
      coverage.count(`calls: ${what}`);
      return true;
    } catch (error) {
      if (!(error instanceof BalsaError)) throw error;
      if (!UNAVAILABLE.includes(error.code) && !REFUSED.has(error.code)) throw error;
      coverage.count(`calls: not ${what} (${error.code})`);
      if (error.outcome === 'unknown') note(Number.POSITIVE_INFINITY);
      return false;
    }
  }
}
