/**
 * Three coordinators in network namespaces, each on three networks with a cable of its own to each: one leads to the journal,
 * one to the election, one to workers and clients. Workers are in a namespace as well; servers and tests are where the cables end.
 */
import { execFileSync } from 'node:child_process';

export type Network = 'journal' | 'election' | 'workers';

const networks: readonly Network[] = ['journal', 'election', 'workers'];
const coordinators = [0, 1, 2] as const;

export class Networks {
  readonly #id: string;
  readonly #subnets: Readonly<Record<Network, string>>;

  /** Throws if there is no right to. */
  constructor() {
    // Names of interfaces have at most 15 characters.
    this.#id = `s${process.pid}`;
    const at = process.pid % 250;
    this.#subnets = { journal: `10.214.${at}`, election: `10.215.${at}`, workers: `10.216.${at}` };
    try {
      for (const network of networks) {
        ip('link', 'add', this.#bridge(network), 'type', 'bridge');
        ip('addr', 'add', `${this.#subnets[network]}.1/24`, 'dev', this.#bridge(network));
        ip('link', 'set', this.#bridge(network), 'up');
      }
      for (const at of coordinators) {
        this.#addNamespace(`c${at}`);
        for (const network of networks) this.#lay(network, `c${at}`, this.addressOf(at, network));
      }
      this.#addNamespace('w');
      this.#lay('workers', 'w', `${this.#subnets.workers}.9`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Of the place where the cables end. */
  middle(network: Network): string {
    return `${this.#subnets[network]}.1`;
  }

  addressOf(coordinator: number, network: Network): string {
    return `${this.#subnets[network]}.${2 + coordinator}`;
  }

  /** What a command has to begin with to run in there. */
  inside(place: number | 'workers'): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespace(place === 'workers' ? 'w' : `c${place}`)];
  }

  pull(coordinator: number, network: Network): void {
    ip('link', 'set', this.#cable(network, `c${coordinator}`), 'down');
  }

  plug(coordinator: number, network: Network): void {
    ip('link', 'set', this.#cable(network, `c${coordinator}`), 'up');
  }

  /** The coordinator's cable to workers leads to clients only, or to both again. */
  hideFromWorkers(coordinator: number, isHidden: boolean): void {
    // Isolated ports of a bridge reach all but each other.
    for (const place of [`c${coordinator}`, 'w'])
      execFileSync('bridge', ['link', 'set', 'dev', this.#cable('workers', place), 'isolated', isHidden ? 'on' : 'off']);
  }

  close(): void {
    for (const place of ['c0', 'c1', 'c2', 'w']) quietly('netns', 'del', this.#namespace(place));
    for (const network of networks) quietly('link', 'del', this.#bridge(network));
  }

  #addNamespace(place: string): void {
    ip('netns', 'add', this.#namespace(place));
    ip('-n', this.#namespace(place), 'link', 'set', 'lo', 'up');
  }

  #lay(network: Network, place: string, address: string): void {
    const namespace = this.#namespace(place);
    const [outside, inside] = [this.#cable(network, place), network];
    ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', namespace);
    ip('link', 'set', outside, 'master', this.#bridge(network), 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', inside);
    ip('-n', namespace, 'link', 'set', inside, 'up');
  }

  #namespace(place: string): string {
    return `shoal${process.pid}${place}`;
  }

  #bridge(network: Network): string {
    return `${this.#id}${network[0]}`;
  }

  #cable(network: Network, place: string): string {
    return `${this.#id}${network[0]}${place}`;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}

function quietly(...args: string[]): void {
  try {
    ip(...args);
  } catch {
    // There is none.
  }
}
