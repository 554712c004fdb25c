import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.security.KeyStore;
import java.util.Collections;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import okhttp3.CertificatePinner;
import okhttp3.ConnectionSpec;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.TlsVersion;

/**
 * Fetches https://HOST/ through a proxy with OkHttp.
 *
 * <p>Usage: java -cp OKHTTP VisitOkHttp.java PROXY HOST TRUSTSTORE TLS PIN. TLS is 1.2, 1.3 or any; PIN is the base64 of
 * the only public key accepted, for OkHttp's CertificatePinner, or -. Exit codes: 0 an answer came, 3 the certificate
 * was refused, 1 anything else.
 */
public final class VisitOkHttp {
    /** The password of a truststore with nothing secret in it. */
    private static final char[] PASSWORD = "changeit".toCharArray();

    public static void main(String[] arguments) throws Exception {
        String[] proxy = arguments[0].split(":");
        String host = arguments[1];
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(arguments[2])) {
            trusted.load(file, PASSWORD);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(trusted);
        X509TrustManager manager = (X509TrustManager) factory.getTrustManagers()[0];
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {manager}, null);

        ConnectionSpec.Builder spec = new ConnectionSpec.Builder(ConnectionSpec.MODERN_TLS).allEnabledCipherSuites();
        if (arguments[3].equals("1.2")) {
            spec.tlsVersions(TlsVersion.TLS_1_2);
        } else if (arguments[3].equals("1.3")) {
            spec.tlsVersions(TlsVersion.TLS_1_3);
        }
        OkHttpClient.Builder builder = new OkHttpClient.Builder()
                .proxy(new Proxy(Proxy.Type.HTTP, new InetSocketAddress(proxy[0], Integer.parseInt(proxy[1]))))
                .sslSocketFactory(context.getSocketFactory(), manager)
                .connectionSpecs(Collections.singletonList(spec.build()))
                .retryOnConnectionFailure(false)
                .readTimeout(30, TimeUnit.SECONDS);
        if (!arguments[4].equals("-")) {
            builder.certificatePinner(new CertificatePinner.Builder().add(host, "sha256/" + arguments[4]).build());
        }
        Request request = new Request.Builder().url("https://" + host + "/").build();
        try (Response response = builder.build().newCall(request).execute()) {
            response.body().bytes();
            System.out.println(response.code());
        } catch (SSLException refused) {
            System.err.println(refused);
            System.exit(3);
        }
        // Its pool would keep the runtime waiting.
        System.exit(0);
    }
}
