import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/// Sends back what it gets, a thread for each client. Usage: EchoServer.java PORT
public class EchoServer {
  public static void main(String[] args) throws Exception {
    try (ServerSocket server =
        new ServerSocket(Integer.parseInt(args[0]), 10, InetAddress.getByName("127.0.0.1"))) {
      while (true) {
        Socket client = server.accept();
        Thread.ofPlatform().start(() -> echo(client));
      }
    }
  }

  private static void echo(Socket client) {
    byte[] buffer = new byte[4096];
    try (client) {
      InputStream in = client.getInputStream();
      OutputStream out = client.getOutputStream();
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        out.write(buffer, 0, count);
      }
    } catch (java.io.IOException e) {
      System.out.println(e);
    }
  }
}
