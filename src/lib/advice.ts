/** What an error in a thread would have advised: a record of it carries the code, not the hint. */
const advice: Readonly<Record<string, string>> = {
  SH1104: 'put what starts the work into main(async () => { … })',
  SH1201: 'return data; functions belong into the task’s module',
  SH5002: 'define tasks at the top level of their module, so that loading it is enough',
};

/** `codes`: of an error and its causes, the outermost first. */
export function adviceFor(codes: readonly (string | undefined)[]): string | undefined {
  for (const code of codes) if (code !== undefined && code in advice) return advice[code];
  return undefined;
}
