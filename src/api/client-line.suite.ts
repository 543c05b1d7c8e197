/** A coordinator behind its port, and jobs for raw clients to submit. */
import { afterEach } from 'vitest';
import type { SubmitReply } from '../core/answers.ts';
import { jobSpec, stage } from '../core/drive.suite.ts';
import type { JobSpec } from '../core/spec.ts';
import { type Plugs, type RawClient, type Served, serve } from './api.suite.ts';
import type { ApiOptions } from './server.ts';

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

/** Ends with the test. */
export function serving(plugs: () => Plugs): (options?: Partial<ApiOptions>) => Promise<Served> {
  return async (options = {}) => {
    let nowMs = 0;
    // Each line comes in a minute of its own: limits of haste are not what is looked at here.
    const served = await serve(plugs(), { nowMs: () => (nowMs += 60_000), ...options });
    open.push(served);
    return served;
  };
}

/** Its inputs are its results: it needs no worker. */
export const echo = (options: Partial<JobSpec> = {}): JobSpec => {
  const { definition: _, ...inputs } = stage();
  return jobSpec([inputs], options);
};

export async function submit(client: RawClient, spec: JobSpec, request = 1): Promise<string> {
  const reply = await client.ask({ kind: 'submit', request, spec, digest: 'd' });
  if (reply.kind !== 'reply') throw new Error(reply.error.why);
  return (reply.value as SubmitReply).job;
}
