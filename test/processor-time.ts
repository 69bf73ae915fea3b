// Processor time for tests that bound the work of a function, whatever else the machine does.

/**
 * Starts to count; the returned function gives the seconds of processor time that this process has used since, of all
 * its threads (garbage collection included).
 */
export function processorTime(): () => number {
  const start = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1e6;
  };
}
