package sim
import ("testing";"os")
func TestDbg(t *testing.T){
 p,_:=NewParties()
 f,_:=os.Create("/tmp/dbg.log")
 w,_:=New(Config{Parties:p,Seed:7,Log:f})
 _,err:=w.Run(); t.Log(err)
}
