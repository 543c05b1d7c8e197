/** What a `kafka:` URL says: where the cluster is, how to log in, and how the topics are to be made. */
import { readFileSync } from 'node:fs';
import { ShoalError } from '../../lib/errors.ts';
import { Secret } from '../../lib/secret.ts';
import type { NodeAddress } from './node.ts';

export interface KafkaSettings {
  hosts: readonly NodeAddress[];
  login: Login | undefined;
  tls: { ca?: string } | undefined;
  /** Of the workers' topic, if it has to be made. */
  workerPartitionCount: number;
}

export interface Login {
  mechanism: Mechanism;
  user: string;
  password: Secret;
}

const mechanisms = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;
type Mechanism = (typeof mechanisms)[number];

const portDefault = 9092;
const workerPartitionCountDefault = 32;
const partitionCountMax = 10_000;
export function settingsOf(url: URL, otherHosts: readonly string[] = []): KafkaSettings {
  const params = url.searchParams;
  const tls = params.get('tls') === 'true' || params.has('ca');
  return {
    hosts: hostsOf(url, otherHosts),
    login: loginOf(url, params.get('sasl') ?? (tls ? 'plain' : 'scram-sha-512')),
    tls: tls ? { ...(params.has('ca') && { ca: fileOf(params.get('ca')!) }) } : undefined,
    workerPartitionCount: partitionCountOf(params.get('partitions')),
  };
}

function hostsOf(url: URL, otherHosts: readonly string[]): NodeAddress[] {
  const port = url.port === '' ? portDefault : Number(url.port);
  const own = url.hostname.split(',').map((host) => ({ host: withoutBrackets(host), port }));
  const others = otherHosts.map((text) => {
    const { hostname, port: otherPort } = new URL(`kafka://${text}`);
    return { host: withoutBrackets(hostname), port: otherPort === '' ? port : Number(otherPort) };
  });
  const hosts = [...own, ...others].filter(({ host }) => host !== '');
  if (hosts.length === 0) throw wrong('the address of the Kafka cluster names no host', 'kafka://HOST:9092');
  return hosts;
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

function loginOf(url: URL, mechanism: string): Login | undefined {
  if (url.username === '') return undefined;
  if (!(mechanisms as readonly string[]).includes(mechanism)) {
    throw wrong(`kafka: knows no ?sasl=${mechanism}`, `there are ${mechanisms.join(', ')}`);
  }
  return {
    mechanism: mechanism as Mechanism,
    user: decodeURIComponent(url.username),
    password: new Secret(decodeURIComponent(url.password)),
  };
}

function fileOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ShoalError('SH3124', `cannot read the certificates of ?ca=${path}`, { why: (cause as Error).message, cause });
  }
}

function partitionCountOf(text: string | null): number {
  const count = text === null ? workerPartitionCountDefault : Number(text);
  if (!Number.isInteger(count) || count < 1 || count > partitionCountMax) {
    throw wrong(`?partitions=${text} is no number of partitions`, `1 to ${partitionCountMax}`);
  }
  return count;
}

function wrong(what: string, hint: string): ShoalError {
  return new ShoalError('SH3124', what, { hint });
}
