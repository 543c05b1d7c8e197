/**
 * `etcd://HOST:PORT,…` — a lease and a key bound to it, over the JSON gateway that every etcd serves. A renewal keeps the lease
 * alive and reads the key through consensus, both at once: the first alone says nothing of the key.
 */
import { refusedError } from './calls.ts';
import { type Claim, defaultTtlMs, type ElectionOptions, type LeaseStore } from './lease.ts';

interface KeyValue {
  value: string;
  /** The lease that it is bound to. */
  lease?: string;
}

interface Found {
  header?: { revision?: string };
  kvs?: KeyValue[];
}

export async function etcdStore(url: string, options: ElectionOptions): Promise<LeaseStore> {
  const ttlMs = options.ttlMs ?? defaultTtlMs;
  const gateway = new Gateway(url, ttlMs);
  const key = base64(`shoal/${options.cluster}/election`);

  const find = (signal: AbortSignal): Promise<Found> => gateway.call<Found>(signal, 'kv/range', { key });
  const grant = async (signal: AbortSignal): Promise<{ lease: string; grantedMs: number }> => {
    const { ID, TTL } = await gateway.call<{ ID: string; TTL: string }>(signal, 'lease/grant', { TTL: Math.ceil(ttlMs / 1_000) });
    return { lease: ID, grantedMs: Number(TTL) * 1_000 };
  };
  /** What it has to live from now on; 0 if it is gone. */
  const keepAlive = async (signal: AbortSignal, lease: string): Promise<number> => {
    const { result } = await gateway.call<{ result?: { TTL?: string } }>(signal, 'lease/keepalive', { ID: lease });
    return Number(result?.TTL ?? 0) * 1_000;
  };
  const revoke = (signal: AbortSignal, lease: string): Promise<unknown> => gateway.call(signal, 'lease/revoke', { ID: lease });

  const claim = (record: string): Claim => {
    const value = base64(record);
    let lease = '0';
    let seenRevision = '0';
    return {
      take: async (signal) => {
        const { header, kvs } = await find(signal);
        const held = kvs?.[0];
        seenRevision = header?.revision ?? '0';
        if (held && held.value !== value) return undefined;
        if (held) {
          lease = held.lease ?? '0';
          return (await keepAlive(signal, lease)) || undefined;
        }
        const granted = await grant(signal);
        const { succeeded } = await gateway.call<{ succeeded?: boolean }>(signal, 'kv/txn', {
          compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
          success: [{ request_put: { key, value, lease: granted.lease } }],
        });
        if (succeeded) lease = granted.lease;
        else await revoke(signal, granted.lease);
        return succeeded ? granted.grantedMs : undefined;
      },
      renew: async (signal) => {
        const [livesMs, { kvs }] = await Promise.all([keepAlive(signal, lease), find(signal)]);
        return livesMs > 0 && kvs?.[0]?.value === value && kvs[0].lease === lease;
      },
      release: async (signal) => {
        const compare = [{ key, target: 'VALUE', result: 'EQUAL', value }];
        await gateway.call(signal, 'kv/txn', { compare, success: [{ request_delete_range: { key } }] });
        if (lease !== '0') await revoke(signal, lease);
        lease = '0';
      },
      freed: (signal) => gateway.untilDeleted(signal, key, String(BigInt(seenRevision) + 1n)),
    };
  };

  return {
    name: gateway.name,
    claim: ({ record }) => claim(record),
    holder: async (signal) => {
      const held = (await find(signal)).kvs?.[0];
      return held && Buffer.from(held.value, 'base64').toString();
    },
    close: async () => undefined,
  };
}

/** Several members, one of which is asked; another one when that does not answer. */
class Gateway {
  readonly name: string;
  private readonly members: readonly string[];
  private readonly login: { name: string; password: string } | undefined;
  /** A member that says nothing must not use up the time in which another one could answer. */
  private readonly patienceMs: number;
  private member = 0;
  private token: string | undefined;

  constructor(url: string, ttlMs: number) {
    this.patienceMs = ttlMs / 6;
    const [, secure, user, hosts = ''] = /^etcd(s?):\/\/(?:([^@]*)@)?([^/]*)\/?$/.exec(url) ?? [];
    const names = hosts.split(',').map((host) => (/:\d+$/.test(host) ? host : `${host}:2379`));
    this.members = names.map((host) => `http${secure}://${host}`);
    this.name = `etcd${secure}://${names.join(',')}`;
    const [name = '', password = ''] = (user ?? '').split(':').map(decodeURIComponent);
    this.login = name === '' ? undefined : { name, password };
  }

  async call<T>(signal: AbortSignal, path: string, body: object): Promise<T> {
    for (let tries = 1; ; tries++) {
      const response = await this.post(signal, path, body);
      const answer = (await response.json()) as T & { code?: number; error?: string; message?: string };
      // What is gone needs no revoking.
      if (response.ok || (path === 'lease/revoke' && response.status === 404)) return answer;
      const why = answer.message ?? answer.error ?? `HTTP ${response.status}`;
      // Tokens end by time, by a restart, and whenever somebody changes users or roles.
      const isOldToken = this.token !== undefined && /auth token|auth store/.test(why);
      if (isOldToken) this.token = undefined;
      else if (isRefusal(response.status, why))
        throw refusedError(this.name, why, 'it needs to read and write keys that begin with shoal/');
      else this.askNext();
      if (!isOldToken || tries > 1) throw new Error(why);
    }
  }

  /** Rejects never: a watch that breaks is no sign, and asking again from time to time replaces it. */
  async untilDeleted(signal: AbortSignal, key: string, fromRevision: string): Promise<void> {
    try {
      const response = await this.post(signal, 'watch', { create_request: { key, start_revision: fromRevision } });
      let text = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        text += decoder.decode(chunk as Uint8Array, { stream: true });
        if (text.includes('"DELETE"')) return;
        text = text.slice(-'"DELETE"'.length);
      }
    } catch {}
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }

  private async post(signal: AbortSignal, path: string, body: object): Promise<Response> {
    if (this.login && this.token === undefined && path !== 'auth/authenticate') {
      this.token = (await this.call<{ token: string }>(signal, 'auth/authenticate', this.login)).token;
    }
    const headers = { 'content-type': 'application/json', ...(this.token === undefined ? {} : { authorization: this.token }) };
    for (let tries = 1; ; tries++) {
      const isLast = tries >= this.members.length;
      const isOpenEnded = isLast || path === 'watch';
      const patience = isOpenEnded ? signal : AbortSignal.any([signal, AbortSignal.timeout(this.patienceMs)]);
      const request = { method: 'POST', headers, body: JSON.stringify(body), signal: patience };
      try {
        return await fetch(`${this.members[this.member]}/v3/${path}`, request);
      } catch (error) {
        this.askNext();
        if (signal.aborted || isLast) throw error;
      }
    }
  }

  private askNext(): void {
    this.member = (this.member + 1) % this.members.length;
  }
}

function isRefusal(status: number, why: string): boolean {
  const words = /authentication failed|authentication is not enabled|permission denied|user name is empty/;
  return status === 401 || status === 403 || words.test(why);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
