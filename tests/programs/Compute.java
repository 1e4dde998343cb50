import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.locks.LockSupport;

/// 24 threads that hash, allocate, meet at barriers and park; prints one digest per thread.
public class Compute {
  public static void main(String[] arguments) throws Exception {
    int rounds = Integer.parseInt(arguments[0]);
    int count = 24;
    Map<Integer, String> results = Collections.synchronizedMap(new TreeMap<>());
    CyclicBarrier barrier = new CyclicBarrier(count);
    List<Thread> threads = new ArrayList<>();
    for (int t = 0; t < count; t++) {
      int number = t;
      threads.add(
          Thread.ofPlatform()
              .name("worker-" + number)
              .start(
                  () -> {
                    try {
                      MessageDigest sha = MessageDigest.getInstance("SHA-256");
                      byte[] value = ("worker " + number).getBytes();
                      List<byte[]> kept = new ArrayList<>();
                      for (int i = 0; i < rounds; i++) {
                        value = sha.digest(value);
                        kept.add(value.clone());
                        if (kept.size() == 1000) {
                          for (byte[] old : kept) {
                            sha.update(old);
                          }
                          kept.clear();
                        }
                        if (i % 2000 == 0) {
                          barrier.await();
                          LockSupport.parkNanos(200_000);
                        }
                      }
                      results.put(number, HexFormat.of().formatHex(value));
                    } catch (Exception e) {
                      results.put(number, e.toString());
                    }
                  }));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    results.forEach((number, digest) -> System.out.println(number + " " + digest));
  }
}
