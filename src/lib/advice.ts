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
  for (let at = error; at; at = at.cause) {
    const found = adviceOf(at.code);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Codes of users' own errors may be any text. */
export function adviceOf(code: string | undefined): string | undefined {
  return code !== undefined && Object.hasOwn(advice, code) ? advice[code] : undefined;
}
