/** What an error in a thread would have advised: a record of it carries the code, not the hint. */
const advice: Readonly<Record<string, string>> = {
  SH1104: 'put what starts the work into main(async () => { … })',
  SH1201: 'return data; functions belong into the task’s module',
  SH1204: 'write it to a file or a store and pass its name, or cut it into more tasks',
  SH5002: 'define tasks at the top level of their module, so that loading it is enough',
};

interface Link {
  code?: string;
  cause?: Link;
}

/** By the first error of the chain that there is advice for, the outermost first. */
export function adviceFor(error: Link | undefined): string | undefined {
  for (let at = error; at; at = at.cause) if (at.code !== undefined && at.code in advice) return advice[at.code];
  return undefined;
}
